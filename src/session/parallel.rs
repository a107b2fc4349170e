//! The same work on many items, on all cores, with progress and a stop.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use crate::error::SessionError;
use crate::watch::Watch;

/// Applies `work` to each item; the results are in the order of the items.
///
/// # Errors
/// When the watcher asks to stop; what was done is then dropped.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    stage: &str,
    watch: &mut dyn Watch,
    work: impl Fn(&T) -> R + Sync,
) -> Result<Vec<R>, SessionError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len().max(1));
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    watch.progress(stage, 0, items.len() as u64);
    std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        for _ in 0..threads {
            let sender = sender.clone();
            let (next, stop, work) = (&next, &stop, &work);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(place) else { return };
                    if sender.send((place, work(item))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (done, (place, result)) in receiver.into_iter().enumerate() {
            results[place] = Some(result);
            watch.progress(stage, done as u64 + 1, items.len() as u64);
            if watch.cancelled() {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    // After a stop some results are missing.
    results.into_iter().collect::<Option<Vec<R>>>().ok_or(SessionError::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order() {
        let items: Vec<u64> = (0..1000).collect();
        let squares = map(&items, "squaring", &mut (), |n| n * n).expect("nobody stops it");
        assert!(squares.iter().zip(&items).all(|(square, n)| *square == n * n));
        assert!(map(&[] as &[u8], "nothing", &mut (), |n| *n).expect("nothing to stop").is_empty());
    }

    #[test]
    fn it_stops_when_asked() {
        struct Impatient(u64);
        impl Watch for Impatient {
            fn progress(&mut self, _: &str, done: u64, _: u64) {
                self.0 = done;
            }
            fn cancelled(&self) -> bool {
                self.0 >= 10
            }
        }
        let items = vec![(); 10_000];
        let mut watch = Impatient(0);
        let work = |_: &()| std::thread::sleep(std::time::Duration::from_micros(100));
        assert!(matches!(map(&items, "waiting", &mut watch, work), Err(SessionError::Cancelled)));
        assert!(watch.0 < 1000, "{} items were done", watch.0);
    }
}
