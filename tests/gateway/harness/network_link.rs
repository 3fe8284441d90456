//! The network between a gateway and a server on this machine: how far apart they are, and what is broken between them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// A way to a port, through which all that is sent takes so long, each way. It ends with the process.
#[derive(Clone)]
pub(crate) struct NetworkLink {
    /// Where one end of the way is.
    pub(crate) port: u16,
    state: Arc<State>,
}

struct State {
    delay: Duration,
    network: Mutex<Network>,
    healed: Condvar,
}

#[derive(Default)]
struct Network {
    is_parted: bool,
    connections: Vec<TcpStream>,
}

impl NetworkLink {
    /// A way to this port, with this delay each way.
    pub(crate) fn to(port: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap().port();
        let state = Arc::new(State { delay, network: Mutex::default(), healed: Condvar::new() });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                shared.wait();
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                [&near, &far].iter().for_each(|stream| stream.set_nodelay(true).unwrap());
                let ends = [&near, &far].map(|stream| stream.try_clone().unwrap());
                shared.network.lock().unwrap().connections.extend(ends);
                shared.carry(near.try_clone().unwrap(), far.try_clone().unwrap());
                shared.carry(far, near);
            }
        });
        Self { port: here, state }
    }

    /// The same to a Redis, as its address.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Closes all connections; new ones can be made.
    pub(crate) fn cut(&self) {
        for stream in self.state.network.lock().unwrap().connections.drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Nothing arrives any more, and no connection ends.
    pub(crate) fn partition(&self) {
        self.state.network.lock().unwrap().is_parted = true;
    }

    /// Everything arrives again, also what was sent meanwhile.
    pub(crate) fn heal(&self) {
        self.state.network.lock().unwrap().is_parted = false;
        self.state.healed.notify_all();
    }
}

impl State {
    fn wait(&self) {
        let network = self.network.lock().unwrap();
        drop(self.healed.wait_while(network, |network| network.is_parted).unwrap());
    }

    /// Passes on what comes, so much later.
    fn carry(self: &Arc<Self>, mut from: TcpStream, mut to: TcpStream) {
        let (send, receive) = mpsc::channel::<(Instant, Vec<u8>)>();
        let delay = self.delay;
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                if send.send((Instant::now() + delay, buffer[..count].to_vec())).is_err() {
                    break;
                }
            }
        });
        let state = Arc::clone(self);
        thread::spawn(move || {
            for (due, bytes) in receive {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                state.wait();
                if to.write_all(&bytes).is_err() {
                    break;
                }
            }
            to.shutdown(Shutdown::Both).ok();
        });
    }
}
