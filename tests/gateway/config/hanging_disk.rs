//! Files of the configuration on a disk that hangs, such as a network disk whose server is gone.

use crate::harness::*;
use crate::state::disk_failures::on_faulty_disk_with;

/// Whether there is a thread of this name.
fn is_reading(gateway: &Gateway, name: &str) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", gateway.id())).unwrap();
    let names = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.into_iter().any(|found| found.trim_end() == name)
}

#[test]
fn sigterm_ends_the_process_while_a_reload_waits_for_a_disk_that_hangs() {
    let (_backend, mut gateway, fault) = on_faulty_disk_with(|c| c);
    fault("hang");
    gateway.signal("HUP");
    eventually("it reads", || is_reading(&gateway, "reload"));
    // Another one comes after it, and is heard all the same.
    gateway.signal("HUP");
    gateway.stderr.wait(|line| line["message"] == "a reload is still running: another one comes after it").unwrap();
    gateway.get("/public/x").send().ok();
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn a_reload_requested_while_one_waits_for_a_disk_runs_after_it() {
    let (_backend, gateway, fault) = on_faulty_disk_with(|c| c);
    fault("hang");
    gateway.signal("HUP");
    eventually("it reads", || is_reading(&gateway, "reload"));
    gateway.signal("HUP");
    gateway.stderr.wait(|line| line["message"] == "a reload is still running: another one comes after it").unwrap();
    let from = gateway.stderr.count();
    fault("");
    let reloaded = |line: &Value| line["message"] == "reloaded" && line["cause"] == "signal";
    gateway.stderr.wait_after(from, reloaded).unwrap();
    let first = gateway.stderr.all().iter().position(|line| line.contains("\"reloaded\"")).unwrap();
    gateway.stderr.wait_after(first + 1, reloaded).unwrap();
}

#[test]
fn a_disk_that_hangs_when_files_are_looked_at_holds_up_neither_calls_nor_signals() {
    let (_backend, mut gateway, fault) = on_faulty_disk_with(|c| c);
    fault("hang");
    eventually("it is looked whether files have changed", || gateway.files.path.join("fault.hangs").exists());
    gateway.get("/public/x").send().ok();
    gateway.login(ALICE);
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn a_file_that_changed_while_its_disk_hung_is_read_afterwards() {
    let (_backend, gateway, fault) = on_faulty_disk_with(|c| c);
    fault("hang");
    eventually("it is looked whether files have changed", || gateway.files.path.join("fault.hangs").exists());
    gateway.files.write("accounts.yaml", "[]");
    fault("");
    gateway.stderr.wait(|line| line["message"] == "reloaded" && line["cause"] == "files").unwrap();
    gateway.login_request(ALICE.name, ALICE.secret).send().expect(401, "");
}
