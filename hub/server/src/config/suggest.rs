//! "Did you mean": the nearest known name, if one is near enough to be meant.

/// Below this likeness a suggestion confuses more than it helps.
const LIKENESS_MIN: f64 = 0.75;

/// The candidate most like `name`.
pub(super) fn closest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}
