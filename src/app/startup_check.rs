//! Dry run of a start: addresses, directories and state are tried without disturbing a process that runs. `check` and
//! `run` report the same faults, with the key, the file and the line.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use crate::config::{Config, Problem, Problems};
use crate::reload::Plan;
use crate::server;
use crate::server::admin::admin_socket::socket_file;
use crate::server::upgrade::lock_owner::Owner;
use crate::state::{OpenFault, State};
use rustix::fs::{Access, AtFlags, CWD, accessat};

/// All that would keep a process with this plan from starting here. A process that runs with the same file is no obstacle.
pub fn rehearse(plan: &Plan, file: &Path) -> Problems {
    let config = &plan.config;
    let mut problems = Problems::new();
    let (own, socket) = (Owner::this(file), socket_file::socket_path(config));
    let running = match Owner::at(&socket) {
        Ok(Some(other)) if other.has_same_file(&own) => Some(other),
        Ok(Some(other)) => {
            problems.push(config.problem("state.embedded.path", other.refusal(&own, &socket), ""));
            return problems;
        }
        Ok(None) => None,
        Err(error) => {
            problems.push(config.problem("admin.socket", silent(&socket, &error), ""));
            return problems;
        }
    };
    let has = |address: &SocketAddr| running.as_ref().is_some_and(|other| other.listens.contains(address));
    let listens = config.raw().listen.iter().enumerate();
    let listens = listens.map(|(number, listen)| (format!("listen[{number}].address"), listen.address));
    for (at, address) in listens.chain([("admin.address".to_owned(), config.raw().admin.address)]) {
        if !has(&address)
            && let Err(error) = server::try_bind(address)
        {
            problems.push(no_address(config, &at, address, &error));
        }
    }
    problems.extend(directories(plan));
    if running.is_none()
        && let Err(fault) = State::examine(&plan.state)
    {
        problems.push(no_state(config, &fault));
    }
    problems
}

/// Directories of the state and of the operators' socket that this user cannot write.
pub(super) fn directories(plan: &Plan) -> Problems {
    let mut problems = Problems::new();
    let config = &plan.config;
    if let Some(directory) = plan.state.directory()
        && let Err(error) = writable(directory)
    {
        let fault = OpenFault::Unusable(directory.display().to_string(), error.to_string());
        problems.push(no_state(config, &fault));
        // By default the socket is there too.
        return problems;
    }
    problems.extend(access_log(config));
    let socket = socket_file::socket_path(config);
    if let Some(directory) = socket.parent()
        && let Err(error) = writable(directory)
    {
        problems.push(no_socket(config, &socket, &error));
    }
    problems
}

/// True for a file in this directory, also by symbolic links.
fn is_within(file: &Path, directory: &Path) -> bool {
    let Ok(directory) = directory.canonicalize() else { return file.starts_with(directory) };
    let parent = file.parent().and_then(|parent| parent.canonicalize().ok());
    let target = file.canonicalize().ok();
    [parent, target].into_iter().flatten().any(|path| path.starts_with(&directory))
}

/// An access log file that this user cannot write. Only its directory and its mode are looked at: it is opened by the
/// thread that writes it.
fn access_log(config: &Config) -> Option<Problem> {
    let file = config.resolve(config.raw().log.access.file()?);
    if is_within(&file, &config.data_directory()) {
        let message =
            format!("the access log would be in the directory of the state and the audit log: {}", file.display());
        return Some(config.problem("log.access.file", message, "name a file in another directory"));
    }
    let error = match std::fs::metadata(&file) {
        Ok(found) if found.is_dir() => io::ErrorKind::IsADirectory.into(),
        Ok(_) => accessat(CWD, &file, Access::WRITE_OK, AtFlags::EACCESS).err()?.into(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = file.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
            match accessat(CWD, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
                Ok(()) => return None,
                Err(error) => io::Error::from(error),
            }
        }
        Err(error) => error,
    };
    let message = format!("the access log cannot be written to {}: {error}", file.display());
    let help = "create the directory and let the user that runs wicketgate write there, or change `log.access.file`";
    Some(config.problem("log.access.file", message, help))
}

/// Returns whether this user can create files in a directory, or the directory itself.
fn writable(directory: &Path) -> io::Result<()> {
    let directory = std::path::absolute(directory)?;
    let existing = directory.ancestors().find(|path| path.exists()).unwrap_or(&directory);
    if !existing.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(accessat(CWD, existing, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// The problem of an address that cannot be bound; `at` is its key.
pub(super) fn no_address(config: &Config, at: &str, address: SocketAddr, error: &io::Error) -> Problem {
    let key = if at.starts_with("listen") { "listen[].address" } else { at };
    let (why, help) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            "another program listens there".to_owned(),
            format!("change `{key}`, or stop what is there: `ss -ltnp` shows it"),
        ),
        io::ErrorKind::AddrNotAvailable => (
            "this machine does not have this address".to_owned(),
            format!("change `{key}`: one of `ip address`, 0.0.0.0, or [::]"),
        ),
        io::ErrorKind::PermissionDenied => (
            "a port so low needs a right that this user does not have".to_owned(),
            format!(
                "give it CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE; containers: the \
                 capability NET_BIND_SERVICE or the sysctl net.ipv4.ip_unprivileged_port_start), let systemd hold the \
                 socket, or change `{key}`: a port from 1024 on needs no right"
            ),
        ),
        _ => (error.to_string(), format!("change `{key}`, or stop what is there")),
    };
    config.problem(at, format!("cannot listen on {address}: {why}"), help)
}

/// The problem of a state that cannot be opened; its message names the remedy.
pub(super) fn no_state(config: &Config, fault: &OpenFault) -> Problem {
    config.problem("state.embedded.path", fault.to_string(), "")
}

/// The problem of an operators' socket that cannot be bound.
pub(super) fn no_socket(config: &Config, path: &Path, error: &io::Error) -> Problem {
    let message = format!("cannot listen on {}: {error}", path.display());
    config.problem("admin.socket", message, "let the user that runs wicketgate write there, or change `admin.socket`")
}

/// The error text for a process at the operators' socket that does not identify itself.
pub(super) fn silent(socket: &Path, error: &io::Error) -> String {
    format!(
        "the state is in use: a process answers at {} that does not say which it is ({error}). Stop it first, or set \
         another `state.embedded.path` or `admin.socket`",
        socket.display()
    )
}
