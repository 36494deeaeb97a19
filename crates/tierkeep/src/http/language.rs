//! Which language an answer speaks: what the address says, then what the client prefers, then the configured one.

use axum::http::{HeaderMap, header};
use tierkeep_learning::language::Language;

/// The language that `Accept-Language` prefers among those there are; `None` when it prefers none of them.
pub(super) fn preferred(headers: &HeaderMap) -> Option<Language> {
    let lines = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|line| line.to_str().ok());
    let mut best: Option<(Language, u16)> = None;
    for range in lines.flat_map(|line| line.split(',')) {
        let mut parts = range.split(';');
        let tag = parts.next().unwrap_or_default().trim();
        let Some(quality) = quality(parts.next()) else { continue };
        let Ok(language) = tag.parse::<Language>() else { continue };
        // of equal ones the first counts
        if quality > 0 && best.is_none_or(|(_, most)| quality > most) {
            best = Some((language, quality));
        }
    }
    best.map(|(language, _)| language)
}

/// A weight in thousandths; `None` for something that is no weight.
fn quality(parameter: Option<&str>) -> Option<u16> {
    let Some(parameter) = parameter else { return Some(1000) };
    let weight = parameter.trim().strip_prefix("q=").or_else(|| parameter.trim().strip_prefix("Q="))?;
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_known_language_wins() {
        let table = [
            ("zh", Some(Language::Zh)),
            ("zh-CN,zh;q=0.9,en;q=0.8", Some(Language::Zh)),
            ("en-US, zh;q=0.9", Some(Language::En)),
            ("fr-CH, fr;q=0.9, zh;q=0.7, en;q=0.8, *;q=0.5", Some(Language::En)),
            ("en;q=0.1,zh;q=0.101", Some(Language::Zh)),
            ("en;q=0.5, zh;q=0.5", Some(Language::En)),
            ("zh;q=0, en;q=0.001", Some(Language::En)),
            ("zh;q=0", None),
            ("fr, de", None),
            ("*", None),
            ("", None),
            ("zh;q=2", None),
            ("zh;q=1.5", None),
            ("zh;q=x, en ; q=0.3", Some(Language::En)),
            (",,;;=,zh;q=1.000", Some(Language::Zh)),
        ];

        for (given, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, given.parse().unwrap());
            assert_eq!(preferred(&headers), expected, "{given}");
        }
    }

    #[test]
    fn several_header_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT_LANGUAGE, "en;q=0.5".parse().unwrap());
        headers.append(header::ACCEPT_LANGUAGE, "zh".parse().unwrap());

        assert_eq!(preferred(&headers), Some(Language::Zh));
    }
}
