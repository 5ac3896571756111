//! Filters compiled lately, by their text, so that every member of a group and every pull that brings its filter along
//! share one. Two generations: what is asked for moves to the young one, and when that is full the old one goes.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::{FilterError, SqlFilter};

/// Most filters of one generation.
const FILTERS_MAX: usize = 512;
/// Most bytes of text in one generation, unless one filter alone has more.
const TEXT_MAX: usize = 512 * 1024;

type Map = HashMap<Box<str>, Arc<SqlFilter>, foldhash::fast::RandomState>;

#[derive(Debug, Default)]
pub(crate) struct FilterCache(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: Map,
    young_bytes: usize,
    old: Map,
}

impl FilterCache {
    /// The compiled text. Compiles without the lock; what does not compile is not remembered.
    pub(crate) fn compile(&self, text: &str) -> Result<Arc<SqlFilter>, FilterError> {
        if let Some(known) = self.0.lock().get(text) {
            return Ok(known);
        }
        let filter = Arc::new(SqlFilter::compile(text)?);
        self.0.lock().insert(Arc::clone(&filter));
        Ok(filter)
    }
}

impl Generations {
    fn get(&mut self, text: &str) -> Option<Arc<SqlFilter>> {
        if let Some(known) = self.young.get(text) {
            return Some(Arc::clone(known));
        }
        let known = self.old.remove(text)?;
        self.insert(Arc::clone(&known));
        Some(known)
    }

    fn insert(&mut self, filter: Arc<SqlFilter>) {
        let bytes = filter.text().len();
        if self.young.len() == FILTERS_MAX || self.young_bytes + bytes > TEXT_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(filter.text().into(), filter).is_none() {
            self.young_bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_compiled_once_while_it_is_asked_for() {
        let cache = FilterCache::default();
        let first = cache.compile("a = 1").unwrap();
        for n in 0..FILTERS_MAX * 4 {
            cache.compile(&format!("a = {n} OR b = {n}")).unwrap();
            assert!(Arc::ptr_eq(&first, &cache.compile("a = 1").unwrap()), "{n}");
        }
        assert!(cache.compile("a =").is_err());
    }

    #[test]
    fn filters_and_their_bytes_are_bounded() {
        let cache = FilterCache::default();
        for n in 0..FILTERS_MAX * 4 {
            cache.compile(&format!("a = {n}")).unwrap();
        }
        let long = "x".repeat(8 * 1024);
        for n in 0..200 {
            cache.compile(&format!("a = '{long}{n}'")).unwrap();
        }
        let held = cache.0.lock();
        assert!(held.young.len() <= FILTERS_MAX && held.old.len() <= FILTERS_MAX);
        let bytes = |map: &Map| map.keys().map(|text| text.len()).sum::<usize>();
        assert_eq!(bytes(&held.young), held.young_bytes);
        assert!(held.young_bytes <= TEXT_MAX && bytes(&held.old) <= TEXT_MAX);
    }
}
