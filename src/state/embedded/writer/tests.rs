use std::path::Path;
use std::sync::mpsc::channel;

use redb::{ReadableDatabase as _, ReadableTableMetadata as _};

use super::super::file::begin_file;
use super::super::table::{TABLE, VERSION, bytes_of, read_all};
use super::*;
use crate::state::embedded::deletions::SLICE;

fn key(number: u32) -> Vec<u8> {
    [b"k", &number.to_be_bytes()[..]].concat()
}

/// A writer of a file with so many records of 1,000 bytes.
fn writer(name: &str, records: u32) -> (Writer, PathBuf) {
    let directory = std::env::temp_dir().join(format!("wicketgate-writer-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("state.redb");
    let database = begin_file(&path).unwrap();
    let mut writer = Writer::new(database, path, Default::default(), Default::default());
    let all: Vec<_> = (0..records).map(|number| Change::Put(key(number), vec![7; 1_000])).collect();
    all.chunks(5_000).for_each(|some| assert!(writer.write(some)));
    writer.has_deleted = false;
    (writer, directory)
}

fn count(writer: &Writer) -> u64 {
    let table = writer.database.as_ref().unwrap().begin_read().unwrap().open_table(TABLE).unwrap();
    table.len().unwrap() - 1
}

/// What a process finds that starts on a copy of these files, as they are on the disk now.
fn after_a_crash(directory: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let copy = directory.with_extension("crashed");
    let _ = std::fs::remove_dir_all(&copy);
    std::fs::create_dir_all(&copy).unwrap();
    for name in ["state.redb", "state.new"] {
        let _ = std::fs::copy(directory.join(name), copy.join(name));
    }
    let mut found = Vec::new();
    let store = super::super::Embedded::open(&copy, |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        Ok(crate::state::change::Fate::Live)
    });
    store.unwrap().close();
    assert!(!copy.join("state.new").exists(), "what a crash has left behind goes");
    std::fs::remove_dir_all(copy).unwrap();
    found
}

#[test]
fn a_damaged_page_ends_the_writing_and_not_the_writer() {
    let (mut writer, directory) = writer("damaged", 20_000);
    // More than is kept in memory, so that it is read from the disk.
    let whole = std::fs::read(&writer.path).unwrap();
    let junk: Vec<u8> = (0..whole.len()).map(|at| u8::try_from((at % 4_096 * 37 + 11) % 251).unwrap()).collect();
    std::fs::write(&writer.path, [&whole[..4_096], &junk[4_096..]].concat()).unwrap();
    let (queue, jobs) = channel();
    let mut answers = Vec::new();
    for number in (0..20_000).step_by(100) {
        let (done, written) = oneshot::channel();
        let changes = vec![Change::Put(key(number), vec![1; 500])];
        writer.waiting.writes.fetch_add(1, Ordering::Relaxed);
        queue.send(Job::Write(changes, Some(WriteWaiter { done, unless_left: true }))).unwrap();
        writer.turn(None, &jobs);
        answers.push(written);
    }
    assert_eq!(answers.last_mut().unwrap().try_recv(), Ok(false), "answered at once");
    assert!(answers.iter_mut().take(199).all(|answer| answer.try_recv().is_ok()));
    assert!(writer.lost && writer.failed.load(Ordering::Relaxed));
    assert_eq!(writer.waiting.writes.load(Ordering::Relaxed), 0);
    drop(writer);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_write_waits_for_one_slice_of_deletions_at_most() {
    let (mut writer, directory) = writer("slices", 5_000);
    let (queue, jobs) = channel();
    queue.send(Job::Delete((0..4_000).map(key).collect(), None)).unwrap();
    let mut before = count(&writer);
    for number in 10_000..10_006 {
        let (done, mut written) = oneshot::channel();
        let waiter = WriteWaiter { done, unless_left: true };
        queue.send(Job::Write(vec![Change::Put(key(number), vec![1])], Some(waiter))).unwrap();
        writer.turn(None, &jobs);
        assert_eq!(written.try_recv(), Ok(true), "written in the first turn");
        let after = count(&writer);
        assert!(before + 1 - after <= SLICE as u64 && (after <= before || before <= 1_006), "{before} {after}");
        before = after;
    }
    while writer.has_spare_work() && !writer.backlog.is_empty() {
        let before = count(&writer);
        writer.work_a_slice();
        assert!(before - count(&writer) <= SLICE as u64);
    }
    assert_eq!(count(&writer), 1_006);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_write_whose_caller_gave_up_before_it_began_never_lands_and_a_revocation_does() {
    let (mut writer, directory) = writer("left", 0);
    let (queue, jobs) = channel();
    for (name, unless_left) in [(1, true), (2, false)] {
        let (done, written) = oneshot::channel();
        queue.send(Job::Write(vec![Change::Put(key(name), vec![1])], Some(WriteWaiter { done, unless_left }))).unwrap();
        drop(written);
    }
    writer.turn(None, &jobs);
    assert_eq!(after_a_crash(&directory), [(key(2), vec![1])]);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_file_that_has_become_mostly_empty_becomes_small_and_a_crash_at_any_step_loses_nothing() {
    let (mut writer, directory) = writer("rewrite", 20_000);
    let large = writer.file_bytes();
    writer.backlog.add((1_000..20_000).map(key).collect(), None);
    let mut expected: std::collections::BTreeMap<_, _> =
        (0..1_000).map(|number| (key(number), vec![7_u8; 1_000])).collect();
    let mut steps = 0;
    while writer.has_spare_work() {
        let is_copying = writer.rewrite.is_some();
        writer.work_a_slice();
        if is_copying {
            steps += 1;
            assert!(after_a_crash(&directory).into_iter().eq(expected.clone()), "step {steps}");
            // Writes go on meanwhile, before and behind what was copied.
            for (number, value) in [(steps, Some(steps)), (900 - steps, None), (5_000 + steps, Some(1))] {
                let change = match value {
                    Some(value) => Change::Put(key(number), vec![u8::try_from(value).unwrap(); 10]),
                    None => Change::Delete(key(number)),
                };
                assert!(writer.write(&[change]));
                match value {
                    Some(value) => drop(expected.insert(key(number), vec![u8::try_from(value).unwrap(); 10])),
                    None => drop(expected.remove(&key(number))),
                }
            }
            assert!(after_a_crash(&directory).into_iter().eq(expected.clone()), "after the writes of step {steps}");
        }
    }
    assert!(steps > 2, "{steps}");
    let small = writer.file_bytes();
    assert!(small * 3 < large, "{small} of {large}");
    let (_, live) = read_all(writer.database.as_ref().unwrap(), |_, _| Ok(crate::state::change::Fate::Live)).unwrap();
    assert_eq!(writer.live + bytes_of(&[], VERSION), live);
    drop(writer);
    assert!(after_a_crash(&directory).into_iter().eq(expected));
    std::fs::remove_dir_all(directory).unwrap();
}
