//! Files over HTTP, whole or not at all.
//!
//! The bytes go to `NAME.part` beside the file, and a note `NAME.part.json` says where they come from and by which
//! validator (entity tag, or date of change) the server would know them again. What was cut is continued by a range
//! request on that condition: a server whose file has changed sends all of it, and the old bytes are thrown away. Only a
//! complete file takes its name.
//!
//! Cut connections, silence and busy servers are tried again, a few times, with growing pauses; bytes that arrive in
//! between give new tries. Answers that will not change (no such file, no permission, a wrong size) end it at once.

mod part;

pub use part::part_of;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use boxwright_formats::atomic_file::explain;
use part::Part;
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

/// How patient and how generous a download is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The longest time for a connection.
    pub connect: Duration,
    /// The longest wait for the first line of an answer.
    pub answer: Duration,
    /// The longest silence within a file.
    pub silence: Duration,
    /// Tries that may fail one after the other without a new byte.
    pub tries: u32,
    /// The pause after the first failure; each further one is twice as long.
    pub pause: Duration,
    /// The largest file in bytes.
    pub most_bytes: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            answer: Duration::from_secs(30),
            silence: Duration::from_secs(30),
            tries: 4,
            pause: Duration::from_secs(1),
            most_bytes: 8 << 30,
        }
    }
}

/// Failures in one download, however many bytes came between them.
const MOST_FAILURES: u32 = 100;

/// The longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes on the disk.
    pub done: u64,
    /// Bytes of the whole file, where the server says so.
    pub total: Option<u64>,
}

/// A download that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// Size of the file.
    pub bytes: u64,
    /// Bytes that an earlier call had left behind and that were not sent again.
    pub kept: u64,
}

/// Why a file did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The server does not have it.
    #[error("{url}: the server has no such file (HTTP {status}); check the address")]
    NotFound {
        /// The address.
        url: String,
        /// 404 or 410.
        status: u16,
    },
    /// The server refuses, and would again.
    #[error("{url}: the server answers with HTTP {status}{hint}")]
    Status {
        /// The address.
        url: String,
        /// The status code.
        status: u16,
        /// What to do about it.
        hint: &'static str,
    },
    /// The network or the server failed, again and again.
    #[error("{url}: {reason} ({tries}); check the network; the same command goes on where this one stopped")]
    Network {
        /// The address.
        url: String,
        /// What happened the last time.
        reason: String,
        /// How often it was tried, in words.
        tries: String,
    },
    /// The address or the connection can never work.
    #[error("{url}: {reason}")]
    Unusable {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// The file is not as large as it should be.
    #[error("{url}: the file has {found} bytes and should have {expected}; it is not the file that was meant")]
    Size {
        /// The address.
        url: String,
        /// The size that was asked for.
        expected: u64,
        /// The size that it has.
        found: u64,
    },
    /// The file is larger than any file that was meant.
    #[error("{url}: the file is larger than {limit} bytes, the most that is downloaded")]
    TooLarge {
        /// The address.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// Another process writes the same file.
    #[error("{}: another program is downloading this file; wait for it, or end it", part.display())]
    Busy {
        /// The unfinished file.
        part: PathBuf,
    },
    /// The disk refuses.
    #[error(transparent)]
    File(#[from] io::Error),
    /// Whoever asked for it does not want it any more.
    #[error("stopped; {bytes} bytes are kept in {}, and the same command goes on from there", part.display())]
    Cancelled {
        /// The unfinished file.
        part: PathBuf,
        /// Its size.
        bytes: u64,
    },
}

/// Downloads files.
#[derive(Debug)]
pub struct Client {
    policy: Policy,
    direct: Agent,
    outward: Agent,
}

impl Client {
    /// A client with this patience. It uses the proxies of the environment (`HTTPS_PROXY`, `NO_PROXY` …) and trusts
    /// Mozilla's certificates, or those in the file that `SSL_CERT_FILE` names.
    ///
    /// # Errors
    /// The file of `SSL_CERT_FILE` cannot be used.
    pub fn new(policy: Policy) -> Result<Self, DownloadError> {
        let config = || {
            Agent::config_builder()
                .http_status_as_error(false)
                .user_agent(concat!("boxwright/", env!("CARGO_PKG_VERSION")))
                .accept_encoding("identity")
                .timeout_resolve(Some(policy.connect))
                .timeout_connect(Some(policy.connect))
                .timeout_recv_response(Some(policy.answer))
                .timeout_per_read(Some(policy.silence.min(policy.answer)))
        };
        let tls = TlsConfig::builder().root_certs(root_certificates()?).build();
        Ok(Self {
            direct: config().proxy(None).build().into(),
            outward: config().tls_config(tls).build().into(),
            policy,
        })
    }

    /// Brings a file to a path, in as many pieces as it takes. `expected` is its size where that is known; `watch` is told
    /// how far it is and answers whether to go on.
    ///
    /// # Errors
    /// See [`DownloadError`]. The path is then as it was before; what arrived is kept beside it for the next call where
    /// that makes sense.
    pub fn download(
        &self,
        url: &str,
        to: &Path,
        expected: Option<u64>,
        watch: &mut dyn FnMut(Transfer) -> bool,
    ) -> Result<Downloaded, DownloadError> {
        let mut part = Part::open(to, url)?;
        let mut kept = part.length;
        let (mut furthest, mut in_a_row, mut failures) = (part.length, 0, 0);
        loop {
            let again = match self.attempt(url, &mut part, expected, &mut kept, watch) {
                Ok(()) => {
                    let bytes = part.length;
                    part.finish(to)?;
                    return Ok(Downloaded { bytes, kept });
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(again)) => again,
            };
            in_a_row = if part.length > furthest { 1 } else { in_a_row + 1 };
            furthest = furthest.max(part.length);
            failures += 1;
            if in_a_row >= self.policy.tries || failures >= MOST_FAILURES {
                let tries = if failures == 1 { "tried once".into() } else { format!("tried {failures} times") };
                return Err(DownloadError::Network { url: shown(url), reason: again.reason, tries });
            }
            let grown = self.policy.pause.saturating_mul(1 << (in_a_row - 1).min(16));
            let transfer = Transfer { done: part.length, total: None };
            if !pause(again.pause.unwrap_or(grown).min(LONGEST_PAUSE), || watch(transfer)) {
                return Err(part.cancelled());
            }
        }
    }

    /// The text of a small file; none where the server has no such file.
    ///
    /// # Errors
    /// The server cannot be reached or refuses, or the file is larger than `limit`.
    pub fn read_text(&self, url: &str, limit: u64) -> Result<Option<String>, DownloadError> {
        let mut failures = 0;
        loop {
            let again = match self.try_text(url, limit) {
                Ok(text) => return Ok(text),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(again)) => again,
            };
            failures += 1;
            if failures >= self.policy.tries {
                let tries = format!("tried {failures} times");
                return Err(DownloadError::Network { url: shown(url), reason: again.reason, tries });
            }
            let grown = self.policy.pause.saturating_mul(1 << (failures - 1).min(16));
            std::thread::sleep(again.pause.unwrap_or(grown).min(LONGEST_PAUSE));
        }
    }

    fn try_text(&self, url: &str, limit: u64) -> Result<Option<String>, Failure> {
        let response = self.ask(url, None)?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND || status == StatusCode::GONE {
            return Ok(None);
        }
        if status != StatusCode::OK {
            return Err(refusal(url, &response));
        }
        let mut bytes = Vec::new();
        let mut body = response.into_body().into_with_config().limit(u64::MAX).reader().take(limit + 1);
        body.read_to_end(&mut bytes).map_err(|error| network(url, ureq::Error::from(error)))?;
        if bytes.len() as u64 > limit {
            return Err(DownloadError::TooLarge { url: shown(url), limit }.into());
        }
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// One request, for a whole file or for the rest of one.
    fn ask(&self, url: &str, rest: Option<(u64, &str)>) -> Result<Response<Body>, Failure> {
        // A proxy cannot reach what only this machine can.
        let agent = if on_this_machine(url) { &self.direct } else { &self.outward };
        let mut request = agent.get(url);
        if let Some((from, validator)) = rest {
            request = request.header("range", format!("bytes={from}-")).header("if-range", validator);
        }
        // Whoever asks safely is not led to where others can listen.
        let request = request.config().https_only(url.starts_with("https://")).build();
        request.call().map_err(|error| network(url, error))
    }

    /// One request and what comes of it.
    fn attempt(
        &self,
        url: &str,
        part: &mut Part,
        expected: Option<u64>,
        kept: &mut u64,
        watch: &mut dyn FnMut(Transfer) -> bool,
    ) -> Result<(), Failure> {
        let validator = part.stamp.as_ref().and_then(|stamp| stamp.validator.clone());
        let promised = part.stamp.as_ref().and_then(|stamp| stamp.total);
        let as_promised = |total: Option<u64>| promised.is_none() || total.is_none() || promised == total;
        let rest = validator.as_deref().filter(|_| part.length > 0).map(|validator| (part.length, validator));
        let response = self.ask(url, rest)?;
        let total = match response.status() {
            StatusCode::OK => {
                *kept = 0;
                let total = response.body().content_length();
                self.check_size(url, total, expected)?;
                part.start(url, validator_of(response.headers()), total)?;
                total
            }
            StatusCode::PARTIAL_CONTENT if rest.is_some() => match range_of(response.headers()) {
                Some((from, total))
                    if from == part.length && as_promised(total) && same_file(&response, validator.as_deref()) =>
                {
                    let total = total.or_else(|| Some(part.length + response.body().content_length()?));
                    self.check_size(url, total, expected)?;
                    total
                }
                _ => {
                    *kept = 0;
                    part.forget()?;
                    return Err(again("the server sent another part of the file than was asked for"));
                }
            },
            StatusCode::RANGE_NOT_SATISFIABLE if rest.is_some() => {
                // Nothing is missing where the server's file ends exactly at what is here.
                let total = unsatisfied_total(response.headers());
                if total == Some(part.length) && as_promised(total) {
                    return self.check_size(url, Some(part.length), expected).map_err(Failure::from);
                }
                *kept = 0;
                part.forget()?;
                return Err(again("the file on the server is not as long as it was"));
            }
            _ => return Err(refusal(url, &response)),
        };
        self.receive(url, response, part, total, watch)?;
        if let Some(expected) = expected.filter(|expected| *expected != part.length) {
            let found = part.length;
            part.forget()?;
            return Err(DownloadError::Size { url: shown(url), expected, found }.into());
        }
        Ok(())
    }

    /// Writes a body to the end of the part.
    fn receive(
        &self,
        url: &str,
        response: Response<Body>,
        part: &mut Part,
        total: Option<u64>,
        watch: &mut dyn FnMut(Transfer) -> bool,
    ) -> Result<(), Failure> {
        let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            if !watch(Transfer { done: part.length, total }) {
                return Err(part.cancelled().into());
            }
            let read = match body.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(network(url, ureq::Error::from(error))),
            };
            if read == 0 {
                break;
            }
            if part.length + read as u64 > self.policy.most_bytes {
                part.forget()?;
                return Err(DownloadError::TooLarge { url: shown(url), limit: self.policy.most_bytes }.into());
            }
            part.write(&buffer[..read])?;
        }
        match total {
            Some(total) if part.length != total => {
                Err(again(format!("the connection ended after {} of {total} bytes", part.length)))
            }
            _ => Ok(()),
        }
    }

    fn check_size(&self, url: &str, total: Option<u64>, expected: Option<u64>) -> Result<(), DownloadError> {
        let Some(found) = total else { return Ok(()) };
        if found > self.policy.most_bytes {
            return Err(DownloadError::TooLarge { url: shown(url), limit: self.policy.most_bytes });
        }
        match expected {
            Some(expected) if expected != found => Err(DownloadError::Size { url: shown(url), expected, found }),
            _ => Ok(()),
        }
    }
}

/// How an attempt fails.
enum Failure {
    /// For good.
    Final(DownloadError),
    /// Perhaps not the next time.
    Again(Again),
}

struct Again {
    reason: String,
    pause: Option<Duration>,
}

impl From<DownloadError> for Failure {
    fn from(error: DownloadError) -> Self {
        Self::Final(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Final(error.into())
    }
}

fn again(reason: impl Into<String>) -> Failure {
    Failure::Again(Again { reason: reason.into(), pause: None })
}

/// What an answer means that is not the file.
fn refusal(url: &str, response: &Response<Body>) -> Failure {
    let (url, status) = (shown(url), response.status().as_u16());
    match status {
        404 | 410 => DownloadError::NotFound { url, status }.into(),
        408 | 429 | 500..=599 => {
            let seconds = response.headers().get(header::RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
            let reason = format!("the server answers with HTTP {status}");
            Failure::Again(Again { reason, pause: seconds.map(Duration::from_secs) })
        }
        401 | 403 => DownloadError::Status { url, status, hint: ": it does not give this file to everybody" }.into(),
        407 => DownloadError::Status { url, status, hint: ": the proxy wants a name and a password" }.into(),
        _ => DownloadError::Status { url, status, hint: "" }.into(),
    }
}

/// What a failed connection means.
fn network(url: &str, error: ureq::Error) -> Failure {
    use ureq::Error;
    match error {
        Error::HostNotFound => again("no server of that name is known"),
        Error::Timeout(_) => again("the server does not answer in time"),
        Error::Io(error) => again(match error.kind() {
            io::ErrorKind::ConnectionRefused => "nothing listens at that address".to_owned(),
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => "there is no way there".to_owned(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => "the connection was cut".to_owned(),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "the server does not answer in time".to_owned(),
            // The system's own search has no kind for it.
            _ if error.to_string().contains("lookup address") => "no server of that name is known".to_owned(),
            _ => error.to_string(),
        }),
        Error::ConnectionFailed | Error::BodyStalled => again("the connection failed"),
        Error::Protocol(error) => again(format!("the answer is not HTTP: {error}")),
        Error::TooManyRedirects => unusable(url, "the server only sends on to other addresses"),
        Error::RequireHttpsOnly(_) => unusable(url, "the server leads from https to http, where others can listen"),
        Error::BadUri(_) | Error::Http(_) => unusable(url, "this is not an address of the form https://HOST/PATH"),
        error => unusable(url, &error.to_string()),
    }
}

fn unusable(url: &str, reason: &str) -> Failure {
    DownloadError::Unusable { url: shown(url), reason: reason.to_owned() }.into()
}

/// What the server would know this version of the file by. A weak tag does not promise the same bytes.
fn validator_of(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    text(header::ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| text(header::LAST_MODIFIED))
}

/// Whether the rest belongs to the file that the part is of: not every server reads `If-Range`.
fn same_file(response: &Response<Body>, validator: Option<&str>) -> bool {
    validator_of(response.headers()).is_none_or(|found| Some(found.as_str()) == validator)
}

/// The first byte and the size of the file, from `Content-Range: bytes 5-9/10`.
fn range_of(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let value = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes ")?;
    let (range, total) = value.split_once('/')?;
    let (from, to) = range.split_once('-')?;
    let (from, to): (u64, u64) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse::<u64>().ok()?),
    };
    // Less than the whole rest would end in a file that is too short.
    (from <= to && total.is_none_or(|total| total == to + 1)).then_some((from, total))
}

/// The size of the file, from `Content-Range: bytes */10`.
fn unsatisfied_total(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes */")?.trim().parse().ok()
}

/// An address as it may be shown and written: without a password.
pub fn shown(url: &str) -> String {
    let hidden = url.split_once("://").and_then(|(scheme, rest)| {
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (_, host) = authority.rsplit_once('@')?;
        Some(format!("{scheme}://***@{host}{path}"))
    });
    hidden.unwrap_or_else(|| url.to_owned())
}

fn on_this_machine(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.starts_with("127.") || host.starts_with("[::1]") || host.split(':').next() == Some("localhost")
}

/// Waits, as long as `go_on` says so; whether it always did.
fn pause(length: Duration, mut go_on: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + length;
    loop {
        if !go_on() {
            return false;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
}

fn root_certificates() -> Result<RootCerts, DownloadError> {
    let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()).map(PathBuf::from) else {
        return Ok(RootCerts::WebPki);
    };
    let mut pem = Vec::new();
    let file = File::open(&path).and_then(|file| file.take(64 << 20).read_to_end(&mut pem));
    file.map_err(|error| explain(&path, "read", &error))?;
    let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        let reason = "SSL_CERT_FILE names this file, and it holds no certificate; correct or unset it".into();
        return Err(DownloadError::Unusable { url: path.display().to_string(), reason });
    }
    Ok(RootCerts::from(certificates))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown_and_proxies_not_asked_for_this_machine() {
        assert_eq!(shown("https://me:secret@host/a@b"), "https://***@host/a@b");
        assert_eq!(shown("https://host/a@b"), "https://host/a@b");
        for here in ["http://127.0.0.1:80/x", "http://localhost/", "http://[::1]:9/", "http://a@localhost:1"] {
            assert!(on_this_machine(here), "{here}");
        }
        for there in ["http://example.org/127.0.0.1", "https://localhost.example.org/", "http://localhost@example.org"]
        {
            assert!(!on_this_machine(there), "{there}");
        }
    }

    #[test]
    fn content_ranges_must_reach_the_end() {
        let range = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_RANGE, text.parse().expect("a header"));
            (range_of(&headers), unsatisfied_total(&headers))
        };
        assert_eq!(range("bytes 5-9/10"), (Some((5, Some(10))), None));
        assert_eq!(range("bytes 5-9/*"), (Some((5, None)), None));
        assert_eq!(range("bytes */10"), (None, Some(10)));
        for wrong in ["bytes 5-8/10", "bytes 9-5/6", "5-9/10", "bytes -9/10", "bytes 5-99999999999999999999/*", ""] {
            assert_eq!(range(wrong), (None, None), "{wrong}");
        }
    }
}
