//! Tests of the audit log on real files.

use std::fs;
use std::path::PathBuf;

use super::verification::{LineFlaw, WholeLog, verify};
use super::*;

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wicketgate-audit-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join(FILE)
    }

    fn append(&self, count: u64) {
        for number in 0..count {
            append(&self.0, AuditEvent::new("test", "ok").with("number", number)).unwrap();
        }
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(self.file()).unwrap().lines().map(str::to_owned).collect()
    }

    fn verify(&self) -> Result<WholeLog, String> {
        verify(&[self.file()], None).map_err(|broken| broken.to_string())
    }

    /// The line and the flaw that are found in these lines.
    fn flaw_of(&self, lines: &[String]) -> (u64, LineFlaw) {
        fs::write(self.file(), lines.join("\n") + "\n").unwrap();
        match verify(&[self.file()], None) {
            Err(verification::BrokenLog::Line { line, flaw, .. }) => (line, flaw),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn whatever_is_done_to_a_line_is_found_with_its_number() {
    let place = Place::new("flaws");
    place.append(5);
    let lines = place.lines();
    assert_eq!(place.verify().unwrap().lines, 6);
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut changed = lines.clone();
        change(&mut changed);
        place.flaw_of(&changed)
    };
    let edited = with(&|lines| lines[2] = lines[2].replace("\"number\":1", "\"number\":7"));
    assert_eq!(edited, (3, LineFlaw::Edited));
    assert_eq!(with(&|lines| drop(lines.remove(3))), (4, LineFlaw::Missing(1)));
    assert_eq!(with(&|lines| lines.swap(2, 3)), (3, LineFlaw::Missing(1)));
    assert_eq!(with(&|lines| lines.insert(4, lines[1].clone())), (5, LineFlaw::Misplaced { seq: 2, after: 4 }));
    assert_eq!(with(&|lines| lines.insert(2, "{\"event\":\"login\"}".to_owned())), (3, LineFlaw::NotChained));
    assert_eq!(with(&|lines| drop(lines.remove(0))), (1, LineFlaw::NoBeginning));
    // Another line of the same number, whole in itself.
    let other = Place::new("flaws-other");
    other.append(5);
    assert_eq!(with(&|lines| lines[2] = other.lines()[2].clone()), (3, LineFlaw::OtherPredecessor));
}

#[test]
fn what_a_crash_leaves_of_a_line_is_cut_off_and_the_chain_goes_on() {
    let place = Place::new("torn");
    place.append(2);
    let torn = [fs::read(place.file()).unwrap(), b"{\"seq\":4,\"time\":\"20".to_vec()].concat();
    fs::write(place.file(), torn).unwrap();
    assert_eq!(place.verify().unwrap().incomplete, 19);
    place.append(1);
    let whole = place.verify().unwrap();
    assert_eq!((whole.lines, whole.incomplete), (5, 0));
    assert!(place.lines()[3].contains(r#""event":"recovered","outcome":"ok","cut_bytes":19"#), "{:?}", place.lines());
}

#[test]
fn lines_of_versions_before_the_chain_stay_and_cannot_be_changed_any_more() {
    let place = Place::new("unchained");
    fs::create_dir_all(&place.0).unwrap();
    fs::write(place.file(), "{\"action\":\"id trace\"}\n{\"action\":\"id trace\"}\n").unwrap();
    place.append(1);
    let whole = place.verify().unwrap();
    assert_eq!((whole.unchained, whole.lines), (2, 2));
    let mut lines = place.lines();
    lines.remove(0);
    assert_eq!(place.flaw_of(&lines), (2, LineFlaw::UnchainedEdited));
}

#[test]
fn a_file_that_is_renamed_is_followed_by_another_one_of_the_same_chain() {
    let place = Place::new("renamed");
    let audit = Audit::start(&place.0).unwrap();
    let note = || {
        audit.note(AuditEvent::new("test", "ok"));
        audit.flush(Duration::from_secs(10));
    };
    note();
    let renamed = place.0.join("audit.jsonl.1");
    fs::rename(place.file(), &renamed).unwrap();
    // A command comes before the process has noticed.
    place.append(1);
    note();
    let whole = verify(&[renamed.clone(), place.file()], None).unwrap();
    assert_eq!(whole.lines, 5);
    let head = whole.head.hash;
    assert!(verify(&[renamed.clone(), place.file()], Some(&head)).unwrap().has_anchor);
    assert_eq!((whole.begins_at, verify(&[place.file()], None).unwrap().begins_at), (1, 3));
    assert!(!verify(std::slice::from_ref(&renamed), Some(&head)).unwrap().has_anchor);
    assert!(verify(&[place.file(), renamed], None).is_err());
}

#[test]
fn several_that_write_at_once_write_one_chain() {
    let place = Place::new("several");
    let audits: Vec<Audit> = (0..3).map(|_| Audit::start(&place.0).unwrap()).collect();
    std::thread::scope(|scope| {
        for audit in &audits {
            scope.spawn(|| (0..500).for_each(|_| audit.note(AuditEvent::new("test", "ok"))));
        }
        place.append(20);
    });
    audits.iter().for_each(|audit| audit.flush(Duration::from_secs(20)));
    assert_eq!(place.verify().unwrap().lines, 1_521);
}

#[test]
fn events_without_a_place_are_counted_and_told_once_there_is_one() {
    let place = Place::new("lost");
    fs::create_dir_all(place.file()).unwrap();
    let audit = Audit::start(&place.0).unwrap();
    audit.note(AuditEvent::new("test", "ok"));
    audit.note(AuditEvent::new("test", "ok"));
    audit.flush(Duration::from_secs(10));
    assert_eq!(audit.lost(), 2);
    fs::remove_dir(place.file()).unwrap();
    audit.note(AuditEvent::new("test", "ok"));
    audit.flush(Duration::from_secs(10));
    assert!(place.lines()[1].contains(r#""event":"lost","outcome":"failed","count":2"#), "{:?}", place.lines());
    assert_eq!((place.verify().unwrap().lines, audit.lost()), (3, 2));
}

#[test]
fn a_million_lines_are_verified_in_seconds() {
    let place = Place::new("million");
    fs::create_dir_all(&place.0).unwrap();
    let count = if cfg!(debug_assertions) { 50_000 } else { 1_000_000 };
    let event = AuditEvent::new("test", "ok").with("client", "asapp").with("customer", "t1-0123456789abcdef");
    let mut file = audit_file::AuditFile::new(&place.0);
    let events: Vec<_> = (0..count).map(|_| (SystemTime::now(), event.clone())).collect();
    file.append(&events).unwrap();
    let begin = std::time::Instant::now();
    assert_eq!(place.verify().unwrap().lines, count + 1);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn a_log_that_was_removed_is_missed() {
    let place = Place::new("removed");
    let audit = Audit::start(&place.0).unwrap();
    let note = || {
        audit.note(AuditEvent::new("test", "ok"));
        audit.flush(Duration::from_secs(10));
    };
    note();
    let seq = place.verify().unwrap().head.seq;
    fs::remove_file(place.file()).unwrap();
    note();
    let lines = place.lines();
    assert!(lines[1].contains(&format!(r#""event":"lines_gone","outcome":"removed","last_line":{seq}"#)), "{lines:?}");
    let said = place.verify().unwrap_err();
    assert!(said.contains(":2: the gateway noted here that the file was cut off or removed"), "{said}");
}

#[test]
fn lines_that_are_cut_off_while_the_process_runs_are_missed() {
    let place = Place::new("cut");
    let audit = Audit::start(&place.0).unwrap();
    let note = || {
        audit.note(AuditEvent::new("test", "ok"));
        audit.flush(Duration::from_secs(10));
    };
    (0..4).for_each(|_| note());
    let cut = place.lines()[..2].join("\n") + "\n";
    fs::write(place.file(), cut).unwrap();
    note();
    let said = place.verify().unwrap_err();
    assert!(said.contains(":3: 3 lines before this one were removed"), "{said}");
    assert!(place.lines()[2].contains(r#""event":"lines_gone","outcome":"shortened""#), "{:?}", place.lines());
}
