use std::sync::atomic::AtomicBool;

use model::event::EventView;
use model::intake::{IngestError, Receipt};

use super::super::tests::sample;
use super::*;
use crate::sink::Submitted;

#[derive(Default)]
struct Memory {
    ids: Mutex<Vec<u128>>,
    is_down: AtomicBool,
}

impl Sink for Memory {
    fn submit(&self, submission: Submission) -> Submitted {
        let result = if self.is_down.load(Ordering::Relaxed) {
            Err(IngestError::Unwritable)
        } else {
            let ids = submission.events.iter().map(|it| EventView::of(it).expect("an event").id.0);
            self.ids.lock().unwrap().extend(ids);
            Ok(Receipt::default())
        };
        Box::pin(async move { result })
    }
}

struct Running {
    recorder: Arc<Recorder>,
    sink: Arc<Memory>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

fn start(is_down: bool, spill_bytes_max: u64) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, (stop, stopped)) = (Recorder::new(), watch::channel(false));
    let sink = Arc::new(Memory { is_down: AtomicBool::new(is_down), ..Memory::default() });
    let spill = Spill::open(folder.path(), spill_bytes_max).unwrap();
    let task = tokio::spawn(recorder.clone().run(sink.clone(), spill, stopped));
    Running { recorder, sink, stop, task, _folder: folder }
}

impl Running {
    /// Waits until the sink has `count` events; a generous end, so that nothing hangs.
    async fn taken(&self, count: usize) -> Vec<u128> {
        for _ in 0..1000 {
            let ids = self.sink.ids.lock().unwrap().clone();
            if count <= ids.len() {
                return ids;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("the sink did not get {count} events");
    }
}

#[tokio::test]
async fn events_come_in_order_and_the_last_at_the_stop() {
    let running = start(false, 1 << 20);
    (1..=3).for_each(|it| running.recorder.push(&sample(it)));
    assert_eq!(running.taken(3).await, [1, 2, 3]);
    running.recorder.push(&sample(4));
    running.stop.send_replace(true);
    running.task.await.unwrap();
    assert_eq!(*running.sink.ids.lock().unwrap(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn what_is_not_taken_goes_to_disk_and_comes_later() {
    let running = start(true, 1 << 20);
    running.recorder.push(&sample(1));
    while running.recorder.counts.spilled.load(Ordering::Relaxed) == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    running.sink.is_down.store(false, Ordering::Relaxed);
    assert_eq!(running.taken(1).await, [1]);
    assert_eq!(running.recorder.counts.lost.load(Ordering::Relaxed), 0);
    assert!(!running.recorder.is_down());
}

#[tokio::test]
async fn what_finds_no_room_is_counted_and_the_path_is_down() {
    let running = start(true, 10);
    running.recorder.push(&sample(1));
    while running.recorder.counts.lost.load(Ordering::Relaxed) == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(running.recorder.is_down());
}

#[test]
fn a_full_queue_never_makes_a_request_wait() {
    let recorder = Recorder::new();
    let large = Record { target: "x".repeat(16 << 10), ..sample(1) };
    (0..2000).for_each(|_| recorder.push(&large));
    let (recorded, lost) = (&recorder.counts.recorded, &recorder.counts.lost);
    assert_eq!(recorded.load(Ordering::Relaxed) + lost.load(Ordering::Relaxed), 2000);
    assert!(0 < lost.load(Ordering::Relaxed) && recorder.queue().bytes.len() <= QUEUE_BYTES_MAX);
}
