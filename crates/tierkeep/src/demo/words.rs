//! The words that sample learners are made of.

/// A course: its name, its category, what it covers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    pub(super) name: &'static str,
    pub(super) category: &'static str,
    pub(super) topics: &'static [&'static str],
}

pub(super) const COURSES: &[Course] = &[
    Course { name: "Linear algebra", category: "mathematics", topics: &["Matrices", "Eigenvalues", "Least squares"] },
    Course { name: "Calculus", category: "mathematics", topics: &["Limits", "Integrals", "Series"] },
    Course { name: "Mechanics", category: "physics", topics: &["Forces", "Energy", "Rotation"] },
    Course { name: "Organic chemistry", category: "chemistry", topics: &["Alkenes", "Reactions", "Spectra"] },
    Course { name: "World history", category: "history", topics: &["Silk Road", "Printing", "Decolonisation"] },
    Course { name: "汉语初级", category: "languages", topics: &["声调", "汉字", "对话"] },
    Course { name: "Français B1", category: "languages", topics: &["Le subjonctif", "Vocabulaire", "Compréhension"] },
    Course { name: "Algorithms", category: "computing", topics: &["Sorting", "Graphs", "Dynamic programming"] },
    Course { name: "Databases", category: "computing", topics: &["Joins", "Indexes", "Transactions"] },
    Course { name: "Music theory", category: "arts", topics: &["Intervals", "Harmony", "Counterpoint"] },
];

/// The usual ones stand several times.
pub(super) const ENVIRONMENTS: &[&str] =
    &["home", "home", "home", "home", "library", "library", "classroom", "cafe", "online", "other"];

/// The usual ones stand several times.
pub(super) const DEVICES: &[&str] = &["laptop", "laptop", "laptop", "desktop", "tablet", "mobile", "mobile", "other"];

pub(super) const ZONES: &[&str] = &[
    "Europe/Paris",
    "Europe/London",
    "Europe/Istanbul",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Los_Angeles",
    "America/St_Johns",
    "Asia/Shanghai",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Tokyo",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Pacific/Apia",
    "Africa/Lagos",
];

pub(super) const GIVEN_NAMES: &[&str] = &[
    "alan", "amara", "ana", "chen", "claire", "diego", "elif", "fatima", "grace", "hana", "ines", "ivan", "jonas",
    "kofi", "lea", "lin", "maria", "mei", "noor", "olu", "priya", "rosa", "sofia", "tariq", "yuki", "zoe",
];

pub(super) const FAMILY_NAMES: &[&str] = &[
    "adeyemi", "bauer", "castro", "dubois", "eriksen", "fischer", "garcia", "haddad", "ito", "jensen", "kaya", "kumar",
    "li", "mbeki", "moreau", "nakamura", "novak", "okafor", "patel", "rossi", "santos", "tanaka", "wang", "zhao",
];

/// Notes by language.
pub(super) const NOTES: &[&[&str]] = &[
    &["Went well, repeat the exercises tomorrow.", "Hard to concentrate.", "Finally understood the proof!"],
    &["今天效率很高。", "需要复习第三章。", "注意力不集中,明天再试。"],
    &["Bonne séance, à revoir demain.", "Trop de bruit au café.", "J'ai enfin compris."],
    &["Buena sesión; repasar el tema 4.", "Me costó empezar.", "¡Por fin lo entiendo!"],
    &["اليوم كان جيدا.", "أحتاج إلى مراجعة الفصل الثاني."],
    &["よく集中できた。", "明日もう一度。"],
];
