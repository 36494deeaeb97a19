//! Advice: five rules over the sessions of a window, each with a message and the numbers that fired it.
//!
//! The rules compare counts and sums in whole numbers; the means in [`Evidence`] are for reading.

use std::fmt;

use serde::Serialize;

use crate::language::Language;
use crate::summary::DaySummary;

/// A piece of advice.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Recommendation {
    /// Which rule fired.
    pub code: Code,
    /// One sentence for the learner, in the language asked for.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub message: &'static str,
    /// The numbers that fired the rule.
    pub evidence: Evidence,
}

/// The rules, in the order in which advice is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Sessions are shorter than 30 minutes on average.
    ShortSessions,
    /// Ratings are below 3 on average.
    LowEffectiveness,
    /// Most sessions are at home.
    HomeEnvironment,
    /// The busiest hour is 6 to 10.
    MorningStudy,
    /// The busiest hour is 20 to 23.
    LateStudy,
}

/// The numbers that fired a rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Evidence {
    /// Of `short_sessions`.
    Duration {
        /// Mean minutes a session.
        avg_session_duration: f64,
        /// The rule fires below this many minutes.
        threshold: u32,
    },
    /// Of `low_effectiveness`.
    Rating {
        /// Mean rating.
        avg_effectiveness: f64,
        /// Sessions that were rated.
        ratings: u64,
        /// The rule fires below this rating.
        threshold: u32,
    },
    /// Of `home_environment`.
    Environment {
        /// The environment of the most sessions.
        preferred_environment: String,
        /// Sessions there.
        sessions: u64,
        /// Sessions in all.
        total_sessions: u64,
    },
    /// Of `morning_study` and `late_study`.
    Hour {
        /// The local hour in which the most sessions start.
        busiest_hour: u8,
        /// Sessions that start in it.
        sessions: u64,
        /// First hour for which the rule fires.
        first_hour: u8,
        /// Last hour for which the rule fires.
        last_hour: u8,
    },
}

/// Mean minutes a session below which sessions count as short.
const SHORT_MINUTES: u32 = 30;
/// Mean rating below which results leave room.
const LOW_RATING: u32 = 3;
/// The environment that may distract.
const HOME: &str = "home";
/// Hours that count as morning, first and last.
const MORNING: (u8, u8) = (6, 10);
/// Hours that count as late, first and last.
const LATE: (u8, u8) = (20, 23);

/// The advice for the sessions of a window, in the order of [`Code::ALL`]; empty without sessions.
#[must_use]
pub fn recommendations(window: &DaySummary, language: Language) -> Vec<Recommendation> {
    Code::ALL
        .into_iter()
        .filter_map(|code| {
            let evidence = code.evidence(window)?;
            Some(Recommendation { code, message: code.message(language), evidence })
        })
        .collect()
}

impl Code {
    /// Every rule, in order.
    pub const ALL: [Self; 5] =
        [Self::ShortSessions, Self::LowEffectiveness, Self::HomeEnvironment, Self::MorningStudy, Self::LateStudy];

    /// What the rule tells the learner.
    #[must_use]
    pub fn message(self, language: Language) -> &'static str {
        match (self, language) {
            (Self::ShortSessions, Language::En) => {
                "Try to keep a single session going for 30 minutes or more: it gives your study continuity."
            }
            (Self::ShortSessions, Language::Zh) => "试着让每次学习持续 30 分钟以上，思路会更连贯。",
            (Self::LowEffectiveness, Language::En) => {
                "Your results leave some room: consider another method of study, or another place."
            }
            (Self::LowEffectiveness, Language::Zh) => "学习效果还有提升空间，不妨换一种方法或换个地方。",
            (Self::HomeEnvironment, Language::En) => {
                "Home can be distracting: try a library, or a place you keep for study alone."
            }
            (Self::HomeEnvironment, Language::Zh) => "在家容易分心，可以试试图书馆，或专门留出一个学习的地方。",
            (Self::MorningStudy, Language::En) => "Mornings seem to suit you: keep up the early start.",
            (Self::MorningStudy, Language::Zh) => "早晨看来很适合你，请保持早起学习的习惯。",
            (Self::LateStudy, Language::En) => "Mind your sleep: consider starting earlier in the day.",
            (Self::LateStudy, Language::Zh) => "学习之余也要保证睡眠，可以考虑早一点开始。",
        }
    }

    /// The numbers that fire the rule; `None` when it does not fire.
    fn evidence(self, window: &DaySummary) -> Option<Evidence> {
        match self {
            Self::ShortSessions => short_sessions(window),
            Self::LowEffectiveness => low_effectiveness(window),
            Self::HomeEnvironment => home_environment(window),
            Self::MorningStudy => busiest_hour(window, MORNING),
            Self::LateStudy => busiest_hour(window, LATE),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ShortSessions => "short_sessions",
            Self::LowEffectiveness => "low_effectiveness",
            Self::HomeEnvironment => "home_environment",
            Self::MorningStudy => "morning_study",
            Self::LateStudy => "late_study",
        })
    }
}

fn short_sessions(window: &DaySummary) -> Option<Evidence> {
    let avg_session_duration = window.mean_minutes()?;
    is_mean_below(window.minutes, window.sessions, SHORT_MINUTES)
        .then_some(Evidence::Duration { avg_session_duration, threshold: SHORT_MINUTES })
}

fn low_effectiveness(window: &DaySummary) -> Option<Evidence> {
    let avg_effectiveness = window.mean_rating()?;
    let ratings = window.ratings.count();
    is_mean_below(window.ratings.sum(), ratings, LOW_RATING).then_some(Evidence::Rating {
        avg_effectiveness,
        ratings,
        threshold: LOW_RATING,
    })
}

fn home_environment(window: &DaySummary) -> Option<Evidence> {
    (window.environments.most() == Some(HOME)).then(|| Evidence::Environment {
        preferred_environment: HOME.to_owned(),
        sessions: window.environments.get(HOME),
        total_sessions: window.sessions,
    })
}

fn busiest_hour(window: &DaySummary, (first_hour, last_hour): (u8, u8)) -> Option<Evidence> {
    let busiest_hour = window.hours.busiest()?;
    let sessions = window.hours.iter().find(|(hour, _)| *hour == busiest_hour).map_or(0, |(_, sessions)| sessions);
    (first_hour..=last_hour).contains(&busiest_hour).then_some(Evidence::Hour {
        busiest_hour,
        sessions,
        first_hour,
        last_hour,
    })
}

/// Whether `sum / count` is below `bound`, exactly.
fn is_mean_below(sum: u64, count: u64, bound: u32) -> bool {
    u128::from(sum) < u128::from(count) * u128::from(bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::efficiency::Rating;

    /// A window of sessions that fires no rule: 40 minutes each, unrated, no environment, at noon.
    fn quiet(sessions: u64) -> DaySummary {
        let mut window = DaySummary { sessions, minutes: 40 * sessions, ..DaySummary::default() };
        window.hours.add(12, sessions);
        window
    }

    fn codes(window: &DaySummary) -> Vec<Code> {
        recommendations(window, Language::En).into_iter().map(|advice| advice.code).collect()
    }

    #[test]
    fn short_sessions_fires_below_a_mean_of_30_minutes() {
        for (minutes, expected) in [(2999, vec![Code::ShortSessions]), (3000, vec![]), (3001, vec![])] {
            assert_eq!(codes(&DaySummary { minutes, ..quiet(100) }), expected, "{minutes} minutes in 100 sessions");
        }
    }

    #[test]
    fn low_effectiveness_fires_below_a_mean_rating_of_3() {
        for (fours, twos, expected) in
            [(49, 51, vec![Code::LowEffectiveness]), (50, 50, vec![]), (51, 49, vec![]), (0, 0, vec![])]
        {
            let mut window = quiet(100);
            window.ratings.add(Rating::new(4).unwrap(), fours);
            window.ratings.add(Rating::new(2).unwrap(), twos);

            assert_eq!(codes(&window), expected, "{fours} fours and {twos} twos");
        }
    }

    #[test]
    fn home_environment_fires_when_home_is_preferred_and_ties_go_to_the_alphabet() {
        for (other, home, elsewhere, expected) in [
            ("library", 5, 5, vec![Code::HomeEnvironment]),
            ("library", 4, 5, vec![]),
            ("cafe", 5, 5, vec![]),
            ("cafe", 6, 5, vec![Code::HomeEnvironment]),
        ] {
            let mut window = quiet(10);
            window.environments.add("home", home);
            window.environments.add(other, elsewhere);

            assert_eq!(codes(&window), expected, "home {home}, {other} {elsewhere}");
        }
    }

    #[test]
    fn the_busiest_hour_decides_between_morning_and_late() {
        for hour in 0..24 {
            let expected = match hour {
                6..=10 => vec![Code::MorningStudy],
                20..=23 => vec![Code::LateStudy],
                _ => vec![],
            };
            let mut window = quiet(2);
            window.hours.add(hour, 3);

            assert_eq!(codes(&window), expected, "hour {hour}");
        }
    }

    #[test]
    fn a_tie_between_hours_goes_to_the_earlier() {
        let mut window = DaySummary { sessions: 4, minutes: 160, ..DaySummary::default() };
        window.hours.add(20, 2);
        window.hours.add(10, 2);

        assert_eq!(codes(&window), [Code::MorningStudy]);
    }

    #[test]
    fn advice_comes_in_the_order_of_the_rules() {
        let mut window = DaySummary { sessions: 2, minutes: 20, ..DaySummary::default() };
        window.ratings.add(Rating::new(1).unwrap(), 2);
        window.environments.add("home", 2);
        window.hours.add(23, 2);

        assert_eq!(
            codes(&window),
            [Code::ShortSessions, Code::LowEffectiveness, Code::HomeEnvironment, Code::LateStudy]
        );
    }

    #[test]
    fn nobody_is_advised_without_sessions() {
        assert_eq!(codes(&DaySummary::default()), []);
    }

    #[test]
    fn a_session_of_no_minutes_is_a_short_one() {
        assert_eq!(codes(&DaySummary { minutes: 0, ..quiet(1) }), [Code::ShortSessions]);
    }

    #[test]
    fn every_code_has_one_sentence_of_its_own_in_each_language() {
        let mut seen = std::collections::BTreeSet::new();
        for code in Code::ALL {
            let (english, chinese) = (code.message(Language::En), code.message(Language::Zh));

            assert!(english.is_ascii() && english.ends_with('.'), "{english}");
            assert!(
                chinese.ends_with('。') && !chinese.contains(|letter: char| letter.is_ascii_alphabetic()),
                "{chinese}"
            );
            assert!(seen.insert(english) && seen.insert(chinese), "{code} says what another says");
        }
    }

    #[test]
    fn a_code_is_shown_and_serialised_alike() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.to_string());
        }
    }

    #[test]
    fn evidence_holds_the_numbers_that_fired_the_rule() {
        let advice = recommendations(&DaySummary { minutes: 45, ..quiet(2) }, Language::En);

        assert_eq!(
            serde_json::to_string(&advice[0].evidence).unwrap(),
            r#"{"avg_session_duration":22.5,"threshold":30}"#
        );
    }
}
