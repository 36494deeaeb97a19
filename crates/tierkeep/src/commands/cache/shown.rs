//! Answers of a node about its cache, as people read them.

use comfy_table::{Table, TableStyle};
use serde_json::Value;

use crate::console::Output;

/// An answer as it is printed.
pub(super) fn shown(answer: &Value, output: Output) -> String {
    let Output::Human = output else { return answer.to_string() };
    if let Some(Value::String(explanation)) = answer.get("explanation") {
        return explanation.clone();
    }
    match answer.get("statistics").and_then(Value::as_array) {
        Some(statistics) => standing(answer, statistics),
        // what became of an order
        None => {
            table(&[], answer.as_object().into_iter().flatten().map(|(name, value)| vec![name.clone(), text(value)]))
        }
    }
}

/// How the tiers stand, what each statistic's reads came to, and how long the answers took.
fn standing(answer: &Value, statistics: &[Value]) -> String {
    let mut shown = table(&[], tiers(answer));
    if statistics.is_empty() {
        return shown;
    }
    let reads = statistics.iter().map(|of| {
        let ratio = |over: &str| share(&of["hit_ratio"][over]);
        let count = |name: &str| text(&of[name]);
        vec![
            count("statistic"),
            seconds(&of["ttl_seconds"]),
            count("l1"),
            count("l2"),
            count("misses"),
            ratio("last_5_minutes"),
            ratio("last_hour"),
            ratio("last_day"),
            count("loads"),
            count("failures"),
            count("waits"),
        ]
    });
    let header =
        ["statistic", "lives", "l1", "l2", "misses", "hits 5m", "hits 1h", "hits 24h", "loads", "failed", "waited"];
    shown = format!("{shown}\n\n{}", table(&header, reads));
    let answers: Vec<_> = statistics.iter().flat_map(times).collect();
    if answers.is_empty() {
        return shown;
    }
    format!("{shown}\n\n{}", table(&["statistic", "answered by", "answers", "p50", "p99"], answers))
}

fn tiers(answer: &Value) -> Vec<Vec<String>> {
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![row("cache", text(&answer["status"]))];
    if let Some(behind) = answer["behind_ms"].as_u64() {
        rows.push(row("behind", format!("{behind} ms")));
    }
    if let Some(position) = answer.get("position") {
        rows.push(row("position", text(position)));
    }
    if let Some(memory) = answer.get("l1") {
        let bytes = |name: &str| size(memory[name].as_u64().unwrap_or_default());
        let (held, bound) = (bytes("bytes"), bytes("capacity"));
        let (entries, evicted) = (text(&memory["entries"]), text(&memory["evictions"]));
        rows.push(row("l1 memory", format!("{entries} answers, {held} of {bound}; {evicted} gave way to others")));
    }
    if let Some(redis) = answer.get("l2") {
        rows.push(row("l2 redis", text(redis)));
    }
    rows
}

fn times(statistic: &Value) -> Vec<Vec<String>> {
    let name = text(&statistic["statistic"]);
    let row = |of: &Value| {
        let tier = match of["tier"].as_str().unwrap_or_default() {
            "l3" => "l3 summaries".to_owned(),
            "miss" => "rows".to_owned(),
            tier => tier.to_owned(),
        };
        vec![name.clone(), tier, text(&of["count"]), micros(&of["p50_us"]), micros(&of["p99_us"])]
    };
    statistic["answers"].as_array().into_iter().flatten().map(row).collect()
}

fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::default());
    if !header.is_empty() {
        table.set_header(header);
    }
    for row in rows {
        table.add_row(row);
    }
    table.to_string()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn share(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

fn seconds(value: &Value) -> String {
    match value.as_u64() {
        Some(seconds) if seconds >= 3600 && seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        Some(seconds) if seconds >= 60 && seconds % 60 == 0 => format!("{}m", seconds / 60),
        _ => format!("{value}s"),
    }
}

fn micros(value: &Value) -> String {
    match value.as_u64().unwrap_or_default() {
        micros @ 0..1000 => format!("{micros} µs"),
        micros @ 1000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        micros => format!("{:.1} s", micros as f64 / 1e6),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_standing_is_read_in_tables() {
        let answer = json!({
            "status": "on", "position": 7, "l2": "none",
            "l1": { "entries": 3, "bytes": 2048, "capacity": 67_108_864, "evictions": 0 },
            "statistics": [{
                "statistic": "daily", "ttl_seconds": 300, "l1": 9, "l2": 0, "misses": 1, "loads": 1, "failures": 0, "waits": 0,
                "hit_ratio": { "last_5_minutes": 0.9, "last_hour": 0.875, "last_day": null },
                "answers": [{ "tier": "l1", "count": 9, "p50_us": 25, "p99_us": 49 },
                            { "tier": "miss", "count": 1, "p50_us": 1500, "p99_us": 2_300_000 }],
            }],
        });

        let shown = shown(&answer, Output::Human);

        let lines: Vec<Vec<&str>> = shown
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
            .collect();
        for expected in [
            vec!["l1 memory", "3 answers, 2.0 KiB of 64.0 MiB; 0 gave way to others"],
            vec!["daily", "5m", "9", "0", "1", "90.0 %", "87.5 %", "-", "1", "0", "0"],
            vec!["daily", "l1", "9", "25 µs", "49 µs"],
            vec!["daily", "rows", "1", "1.5 ms", "2.3 s"],
        ] {
            assert!(lines.contains(&expected), "{expected:?} in\n{shown}");
        }
    }

    #[test]
    fn what_became_of_an_order_is_read_line_by_line() {
        let shown = shown(&json!({ "complete": true, "l2": "not needed" }), Output::Human);

        assert!(shown.contains("complete") && shown.contains("true") && shown.contains("not needed"), "{shown}");
    }
}
