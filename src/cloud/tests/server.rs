//! A small HTTP server with every bad habit that a real one may have. It also serves the tests that cross rooms.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How the server treats one file. The default is well-behaved: lengths, entity tags, ranges.
#[derive(Clone, Debug)]
pub struct Served {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its entity tag; none gives none.
    pub tag: Option<String>,
    /// Whether ranges are given.
    pub ranges: bool,
    /// Answers with these status codes before it answers well.
    pub refusals: Vec<u16>,
    /// Ends that many connections after so many bytes of the body.
    pub cuts: Vec<usize>,
    /// The length that it claims instead of the true one.
    pub claimed: Option<u64>,
    /// Waits before the body.
    pub delay: Duration,
    /// Sends on to this address.
    pub moved_to: Option<String>,
    /// Sends without a length and without an end.
    pub endless: bool,
    /// Answers a range with these wrong first and last bytes.
    pub wrong_range: Option<(u64, u64)>,
}

impl Served {
    /// A file with a tag and ranges.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            tag: Some("\"v1\"".into()),
            ranges: true,
            refusals: Vec::new(),
            cuts: Vec::new(),
            claimed: None,
            delay: Duration::ZERO,
            moved_to: None,
            endless: false,
            wrong_range: None,
        }
    }
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its path.
    pub path: String,
    /// Its headers, names in small letters.
    pub headers: HashMap<String, String>,
}

#[derive(Default)]
struct State {
    files: HashMap<String, Served>,
    requests: Vec<Request>,
}

/// A server on a free port of this machine, until it is dropped.
pub struct Server {
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    port: u16,
}

impl Server {
    /// Starts it with files by their paths, `/a.tar.gz`.
    pub fn start(files: impl IntoIterator<Item = (&'static str, Served)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State::default()));
        locked(&state).files = files.into_iter().map(|(path, served)| (path.to_owned(), served)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let (its_state, its_stop) = (Arc::clone(&state), Arc::clone(&stop));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if its_stop.load(Ordering::Relaxed) {
                    break;
                }
                let (state, stop) = (Arc::clone(&its_state), Arc::clone(&its_stop));
                // A client that goes away is no failure of the server.
                std::thread::spawn(move || drop(answer(stream, &state, &stop)));
            }
        });
        Self { state, stop, port }
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Serves a file differently from now on.
    #[allow(dead_code, reason = "the tests that cross rooms serve everything from the start")]
    pub fn serve(&self, path: &str, served: Served) {
        locked(&self.state).files.insert(path.to_owned(), served);
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        locked(&self.state).requests.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_request(stream: &TcpStream) -> std::io::Result<Request> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = HashMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    Ok(Request { path, headers })
}

fn answer(mut stream: TcpStream, state: &Mutex<State>, stop: &AtomicBool) -> std::io::Result<()> {
    let request = read_request(&stream)?;
    let (served, refusal, cut) = {
        let mut state = locked(state);
        state.requests.push(request.clone());
        match state.files.get_mut(&request.path) {
            None => (None, Some(404), None),
            Some(served) => {
                let refusal = (!served.refusals.is_empty()).then(|| served.refusals.remove(0));
                let cut = (refusal.is_none() && !served.cuts.is_empty()).then(|| served.cuts.remove(0));
                (Some(served.clone()), refusal, cut)
            }
        }
    };
    if let Some(status) = refusal {
        return write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    }
    let Some(served) = served else { return Ok(()) };
    std::thread::sleep(served.delay);
    if let Some(url) = served.moved_to {
        return write!(
            stream,
            "HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    if served.endless {
        write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        while !stop.load(Ordering::Relaxed) {
            stream.write_all(&[7; 4096])?;
        }
        return Ok(());
    }
    send_file(&mut stream, &request, &served, cut)
}

/// The whole file, or its rest where the condition of the request holds.
fn send_file(stream: &mut TcpStream, request: &Request, served: &Served, cut: Option<usize>) -> std::io::Result<()> {
    let size = served.bytes.len();
    let is_same = request.headers.get("if-range").is_none_or(|tag| Some(tag) == served.tag.as_ref());
    let range = request.headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    let from = range.and_then(|from| from.parse::<usize>().ok()).filter(|_| served.ranges && is_same);
    let tag = served.tag.as_ref().map_or(String::new(), |tag| format!("ETag: {tag}\r\n"));
    let (status, body) = match from {
        Some(from) if from >= size => {
            return write!(
                stream,
                "HTTP/1.1 416 No\r\nContent-Range: bytes */{size}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
        Some(from) => {
            let (first, last) = served.wrong_range.unwrap_or((from as u64, size as u64 - 1));
            (format!("206 Partial Content\r\nContent-Range: bytes {first}-{last}/{size}"), &served.bytes[from..])
        }
        None => ("200 OK".to_owned(), &served.bytes[..]),
    };
    let claimed = served.claimed.unwrap_or(body.len() as u64);
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {claimed}\r\n{tag}Connection: close\r\n\r\n")?;
    stream.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())])
}
