//! The state directory where others can write, and a foreign process at the admin socket.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use crate::harness::gateway::Workspace;
use crate::harness::identity_provider::{IdentityProvider, token};
use crate::harness::keys::TokenKey;
use crate::harness::*;

const ISSUER: &str = "https://login.example.com";
/// Another user of this machine.
const OTHER: u32 = 54_321;

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The only copy of an issuer's keys.
fn copy(files: &Workspace) -> std::path::PathBuf {
    let copies = std::fs::read_dir(files.path.join("data/issuers")).unwrap();
    copies.map(|entry| entry.unwrap().path()).find(|path| path.extension().is_some_and(|end| end == "json")).unwrap()
}

#[track_caller]
fn warned(gateway: &Gateway, words: &[&str]) {
    let told = |line: &Value| {
        let text = line.to_string();
        line["level"] == "WARN" && words.iter().all(|word| text.contains(word))
    };
    assert!(gateway.stderr.wait(told).is_some(), "{words:?}:\n{}", gateway.stderr.all().join("\n"));
}

#[test]
fn a_copy_of_an_issuers_keys_that_another_user_can_have_made_is_not_used() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let backend = Backend::start();
    let config = Config::new(&backend).set(
        "/trusted_issuers",
        json!([{
            "issuer": ISSUER, "jwks": provider.jwks_url(), "audiences": ["legacy-api"], "algorithms": ["ES256"],
            "refresh": {"interval": "10m", "cooldown": "1m", "timeout": "2s"},
        }]),
    );
    let mut gateway = Gateway::start(&config);
    let call = |gateway: &Gateway| gateway.get("/me/x").customer(&token(&key, "one", ISSUER, "ann")).send().status;
    assert_eq!(call(&gateway), 200);
    provider.die();
    let files = Arc::clone(&gateway.files);
    let data = files.path.join("data");
    let issuers = data.join("issuers");
    let file = copy(&files);
    gateway = gateway.restart();
    assert_eq!(call(&gateway), 200, "a copy of its own is used");
    type Deed<'a> = (&'a dyn Fn(), &'a dyn Fn(), &'a Path);
    let deeds: [Deed<'_>; 7] = [
        (&|| chown(&file, Some(OTHER), None).unwrap(), &|| chown(&file, Some(0), None).unwrap(), &file),
        (&|| chmod(&file, 0o620), &|| chmod(&file, 0o600), &file),
        (&|| chmod(&file, 0o602), &|| chmod(&file, 0o600), &file),
        (&|| chown(&issuers, Some(OTHER), None).unwrap(), &|| chown(&issuers, Some(0), None).unwrap(), &issuers),
        (&|| chmod(&issuers, 0o1777), &|| chmod(&issuers, 0o700), &issuers),
        (&|| chmod(&data, 0o1777), &|| chmod(&data, 0o700), &data),
        (&|| chown(&data, Some(OTHER), None).unwrap(), &|| chown(&data, Some(0), None).unwrap(), &data),
    ];
    for (number, (spoil, mend, at)) in deeds.into_iter().enumerate() {
        spoil();
        gateway = gateway.restart();
        assert_eq!(call(&gateway), 503, "{number}");
        warned(&gateway, &["ignoring the copy of an issuer's keys", at.to_str().unwrap(), "run: ch"]);
        mend();
        gateway = gateway.restart();
        assert_eq!(call(&gateway), 200, "{number}");
    }
    // What stands elsewhere is nobody's copy.
    let elsewhere = files.path.join("elsewhere.json");
    std::fs::rename(&file, &elsewhere).unwrap();
    symlink(&elsewhere, &file).unwrap();
    gateway = gateway.restart();
    assert_eq!(call(&gateway), 503);
}

#[test]
fn a_state_directory_of_another_user_or_of_everyone_is_told_with_what_follows() {
    let files = Arc::new(Workspace::new(&Config::new(&Backend::start())));
    let data = files.path.join("data");
    std::fs::create_dir(&data).unwrap();
    chmod(&data, 0o700);
    assert_eq!(files.run(&["check"]).2, "");
    let told = |fix: &str| {
        let (code, _, complained) = files.run(&["check"]);
        assert_eq!(code, 0, "{complained}");
        let line = complained.lines().find(|line| line.contains("customers can be forged"));
        let line = line.unwrap_or_else(|| panic!("{complained}"));
        assert!(line.contains("revocations") && line.contains(fix) && line.contains(data.to_str().unwrap()), "{line}");
    };
    chmod(&data, 0o1777);
    told("chmod o-w");
    let gateway = Gateway::start_in(Arc::clone(&files), TokenKey::generate());
    warned(&gateway, &["customers can be forged", "chmod o-w"]);
    drop(gateway);
    chmod(&data, 0o700);
    chown(&data, Some(OTHER), None).unwrap();
    told("chown 0 ");
    chown(&data, Some(0), None).unwrap();
    assert_eq!(files.run(&["check"]).2, "");
}

#[test]
fn a_named_pipe_in_the_state_directory_keeps_no_start_waiting() {
    let files = Arc::new(Workspace::new(&Config::new(&Backend::start())));
    let data = files.path.join("data");
    std::fs::create_dir(&data).unwrap();
    let pipe =
        |name: &str| assert!(program("mkfifo", "coreutils", &[data.join(name).to_str().unwrap()]).status.success());
    for name in ["last-uses.json", "owner.json", "owner.new", "state.new"] {
        pipe(name);
    }
    let mut gateway = Gateway::start_in(Arc::clone(&files), TokenKey::generate());
    warned(&gateway, &["last-uses.json", "a named pipe"]);
    gateway.get("/public/x").send().ok();
    assert_eq!(gateway.terminate(), Some(0));
    std::fs::remove_file(data.join("state.redb")).unwrap();
    pipe("state.redb");
    for command in ["check", "run"] {
        let (code, _, complained) = files.run(&[command]);
        assert!(code == 1 && complained.contains("a named pipe"), "{command}: {complained}");
    }
}

#[test]
fn nothing_is_written_through_a_link_in_the_state_directory() {
    let files = Arc::new(Workspace::new(&Config::new(&Backend::start())));
    let data = files.path.join("data");
    std::fs::create_dir(&data).unwrap();
    let target = |name: &str| files.path.join(format!("target-{name}"));
    for name in ["state.new", "owner.new", "last-uses.json", "owner.json"] {
        symlink(target(name), data.join(name)).unwrap();
    }
    let mut gateway = Gateway::start_in(Arc::clone(&files), TokenKey::generate());
    gateway.get("/public/x").send().ok();
    assert_eq!(gateway.terminate(), Some(0));
    for name in ["state.new", "owner.new", "last-uses.json", "owner.json"] {
        assert!(!target(name).exists(), "{name}");
    }
    assert!(data.join("state.redb").is_file());
}

/// Answers on a socket as any program can, with `{}` to everything; what it was told comes over the channel.
fn impostor(socket: &Path) -> mpsc::Receiver<String> {
    let listener = UnixListener::bind(socket).unwrap();
    let (told, heard) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut text = [0; 4096];
            let count = stream.read(&mut text).unwrap_or(0);
            told.send(String::from_utf8_lossy(&text[..count]).into_owned()).ok();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}").ok();
        }
    });
    heard
}

#[test]
fn an_answer_that_says_nothing_is_no_success() {
    let files = Workspace::new(&Config::new(&Backend::start()).set("/admin/socket", json!("admin.sock")));
    let _heard = impostor(&files.path.join("admin.sock"));
    let commands = [
        "revoke client x",
        "revoke token -",
        "revoke list",
        "sessions list",
        "sessions show abc",
        "sessions end abc",
        "attempts list",
        "attempts clear login ann",
        "keys",
        "state backup b",
    ];
    for command in commands {
        let args: Vec<&str> = command.split(' ').collect();
        let (code, said, complained) = files.run_with(&args, b"wgr_secret");
        assert!(code == 1 && complained.contains("did not say"), "{command}: {code} {said} {complained}");
    }
}

/// A program of another user that listens and notes what it is told, in `heard`.
struct Foreign(std::process::Child);

impl Foreign {
    fn start(files: &Workspace, socket: &Path) -> Self {
        let script = r#"
            use IO::Socket::UNIX; $SIG{PIPE} = "IGNORE";
            my $l = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => $ARGV[0], Listen => 5) or die $!;
            $| = 1; print "listening\n";
            while (my $c = $l->accept) {
                while (<$c>) { print; last if /^\r?$/ }
                my $body = '{"kind":"client","revoked":["x"]}';
                print $c "HTTP/1.1 200 OK\r\nContent-Length: ".length($body)."\r\nConnection: close\r\n\r\n$body"; close $c;
            }"#;
        let heard = files.path.join("heard");
        let child = std::process::Command::new("setpriv")
            .args(["--reuid", "54321", "--clear-groups", "perl", "-e", script, socket.to_str().unwrap()])
            .stdout(std::fs::File::create(&heard).unwrap())
            .spawn()
            .unwrap();
        eventually("the other one listens", || std::fs::read_to_string(&heard).unwrap().contains("listening"));
        Self(child)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_command_tells_nothing_to_another_user_who_answers_in_a_directory_that_others_can_write() {
    let files = Workspace::new(&Config::new(&Backend::start()).set("/admin/socket", json!("run/admin.sock")));
    let run = files.path.join("run");
    std::fs::create_dir(&run).unwrap();
    chmod(&run, 0o1777);
    let (code, _, complained) = files.run(&["check"]);
    assert!(code == 0 && complained.contains(run.to_str().unwrap()) && complained.contains("chmod"), "{complained}");
    let socket = run.join("admin.sock");
    let foreign = Foreign::start(&files, &socket);
    let (code, _, complained) = files.run_with(&["revoke", "token", "-"], b"wgr_secret");
    assert_eq!(code, 1);
    for word in [socket.to_str().unwrap(), "54321", "chmod go-w"] {
        assert!(complained.contains(word), "{complained}");
    }
    assert!(!std::fs::read_to_string(files.path.join("heard")).unwrap().contains("HTTP"), "something was sent");
    // Where only that user can have put it there, root asks it.
    chown(&run, Some(OTHER), None).unwrap();
    chmod(&run, 0o755);
    let (code, said, complained) = files.run(&["revoke", "client", "x"]);
    assert!(code == 0 && said.contains("revoked: client x"), "{complained}");
    drop(foreign);
}

#[test]
fn no_secret_stands_in_the_log_as_a_request_id_or_as_a_part_of_a_path() {
    let (backend, gateway) = world();
    let secret = "wgr_0123456789abcdef0123456789abcdef";
    let answer = gateway.get("/public/x").header("X-Request-Id", secret).send().ok();
    let id = answer.header("X-Request-Id").unwrap().to_owned();
    assert_ne!(id, secret);
    assert_eq!(backend.last().header("X-Request-Id"), Some(id.as_str()));
    gateway.access_line(&id);
    gateway.get("//user:hunter2@h/x").header("X-Request-Id", "one").send();
    gateway.get("/a/http:user:hunter2@h/x").header("X-Request-Id", "two").send();
    gateway.get("/a/user%3Ahunter2%40h/x").header("X-Request-Id", "three").send();
    for id in ["one", "two", "three"] {
        let path = gateway.access_line(id)["path"].to_string();
        assert!(path.contains("(secret)") && !path.contains("hunter2"), "{path}");
    }
    gateway.get("/a/ann@h/x:y").header("X-Request-Id", "four").send();
    assert_eq!(gateway.access_line("four")["path"], "/a/ann@h/x:y");
    assert!(!gateway.stdout.all().join("\n").contains("wgr_0123"));
}
