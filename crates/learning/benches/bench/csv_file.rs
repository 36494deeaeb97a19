//! The generated sessions as a CSV file.

use super::rows::sessions;

/// Sessions as a CSV file with the header of `study_sessions`.
pub(crate) fn write_csv(path: &std::path::Path, learners: u64, total: u64) -> std::io::Result<()> {
    use std::io::Write;
    let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
    writeln!(out, "{}", COLUMNS.join(","))?;
    let mut first = 0;
    while first < total {
        let count = (total - first).min(10_000);
        for row in sessions(learners, total, first, count) {
            let text = |value: Option<String>| value.unwrap_or_default();
            writeln!(
                out,
                "{},{},{},{},{},{},{},{},{},{},{},{},{},{},\"{}\",{},{}",
                row.id,
                row.user_id,
                text(row.course_progress_id.map(|id| id.to_string())),
                row.start_time,
                text(row.end_time.map(|end| end.to_string())),
                row.duration_minutes,
                text(row.effectiveness_rating.map(|rating| rating.to_string())),
                text(row.focus_hundredths.map(|focus| format!("{}.{:02}", focus / 100, focus % 100))),
                row.break_count,
                if row.is_active { "t" } else { "f" },
                row.learning_environment,
                row.device_type,
                row.subject_category,
                row.content_covered,
                row.notes.replace('"', "\"\""),
                row.created_at,
                row.updated_at,
            )?;
        }
        first += count;
    }
    out.flush()
}

/// The columns of [`write_csv`].
pub(crate) const COLUMNS: [&str; 17] = [
    "id",
    "user_id",
    "course_progress_id",
    "start_time",
    "end_time",
    "duration_minutes",
    "effectiveness_rating",
    "focus_score",
    "break_count",
    "is_active",
    "learning_environment",
    "device_type",
    "subject_category",
    "content_covered",
    "notes",
    "created_at",
    "updated_at",
];
