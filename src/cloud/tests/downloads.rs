//! Downloads from servers with bad habits.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::server::{Served, Server};
use crate::download::{Client, DownloadError, Downloaded, Policy, Transfer, part_of};

fn policy() -> Policy {
    Policy {
        connect: Duration::from_secs(5),
        answer: Duration::from_millis(600),
        silence: Duration::from_millis(600),
        tries: 3,
        pause: Duration::from_millis(5),
        most_bytes: 1 << 20,
    }
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 7 % 251) as u8).collect()
}

/// A folder, the path of the file in it, and a client.
struct Place {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.tar.gz");
        Self { folder, path }
    }

    fn get(&self, url: &str, expected: Option<u64>) -> Result<Downloaded, DownloadError> {
        Client::new(policy()).expect("a client").download(url, &self.path, expected, &mut |_| true)
    }

    /// The names in the folder.
    fn names(&self) -> Vec<String> {
        names(self.folder.path())
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_arrives_whole_and_nothing_else_stays() {
    let server = Server::start([("/a", Served::new(bytes(300_000)))]);
    let place = Place::new();
    let mut seen = Vec::new();
    let client = Client::new(policy()).expect("a client");
    let watch = &mut |transfer: Transfer| {
        seen.push(transfer);
        true
    };
    let done = client.download(&server.url("/a"), &place.path, Some(300_000), watch).expect("downloaded");
    assert_eq!(done, Downloaded { bytes: 300_000, kept: 0 });
    assert_eq!(fs::read(&place.path).expect("read"), bytes(300_000));
    assert_eq!(place.names(), ["a.tar.gz"]);
    assert_eq!(seen.last(), Some(&Transfer { done: 300_000, total: Some(300_000) }));
    assert!(seen.is_sorted_by_key(|transfer| transfer.done));
}

#[test]
fn a_cut_connection_goes_on_at_the_byte_where_it_was_cut() {
    let server = Server::start([("/a", Served { cuts: vec![100_000, 50_000], ..Served::new(bytes(300_000)) })]);
    let place = Place::new();
    let done = place.get(&server.url("/a"), None).expect("downloaded");
    assert_eq!(done, Downloaded { bytes: 300_000, kept: 0 });
    assert_eq!(fs::read(&place.path).expect("read"), bytes(300_000));
    let ranges: Vec<Option<String>> = server.requests().iter().map(|r| r.headers.get("range").cloned()).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-".into()), Some("bytes=150000-".into())]);
    assert_eq!(server.requests()[1].headers["if-range"], "\"v1\"");
}

/// Leaves 100000 bytes of a file behind, as a stopped program does.
fn interrupted(server: &Server, place: &Place) {
    let client = Client::new(policy()).expect("a client");
    let stopped = client.download(&server.url("/a"), &place.path, None, &mut |transfer| transfer.done < 100_000);
    assert!(matches!(stopped, Err(DownloadError::Cancelled { bytes: 100_000, .. })), "{stopped:?}");
    assert_eq!(place.names(), ["a.tar.gz.part", "a.tar.gz.part.json"]);
}

/// A server whose first answer ends after 100000 bytes.
fn server_that_cuts(served: Served) -> Server {
    Server::start([("/a", Served { cuts: vec![100_000], ..served })])
}

#[test]
fn another_call_goes_on_and_a_changed_file_comes_anew() {
    let server = server_that_cuts(Served::new(bytes(300_000)));
    let place = Place::new();
    interrupted(&server, &place);
    let done = place.get(&server.url("/a"), None).expect("downloaded");
    assert_eq!(done, Downloaded { bytes: 300_000, kept: 100_000 });
    assert_eq!(fs::read(&place.path).expect("read"), bytes(300_000));

    let server = server_that_cuts(Served::new(bytes(300_000)));
    let place = Place::new();
    interrupted(&server, &place);
    let other: Vec<u8> = bytes(200_000).into_iter().rev().collect();
    server.serve("/a", Served { tag: Some("\"v2\"".into()), ..Served::new(other.clone()) });
    let done = place.get(&server.url("/a"), None).expect("downloaded");
    assert_eq!(done, Downloaded { bytes: 200_000, kept: 0 });
    assert_eq!(fs::read(&place.path).expect("read"), other);
}

#[test]
fn servers_without_ranges_or_tags_send_everything_again() {
    for served in [
        Served { ranges: false, ..Served::new(bytes(300_000)) },
        Served { tag: None, ..Served::new(bytes(300_000)) },
        Served { tag: Some("W/\"weak\"".into()), ..Served::new(bytes(300_000)) },
    ] {
        let server = server_that_cuts(served);
        let place = Place::new();
        assert_eq!(place.get(&server.url("/a"), None).expect("downloaded").bytes, 300_000);
        assert_eq!(fs::read(&place.path).expect("read"), bytes(300_000));
    }
}

#[test]
fn a_part_that_is_complete_needs_no_more_bytes_and_one_too_long_is_thrown_away() {
    let server = server_that_cuts(Served::new(bytes(300_000)));
    let place = Place::new();
    interrupted(&server, &place);
    fs::write(part_of(&place.path), bytes(300_000)).expect("as if it had been stopped at the end");
    let done = place.get(&server.url("/a"), Some(300_000)).expect("downloaded");
    assert_eq!(done, Downloaded { bytes: 300_000, kept: 300_000 });

    let server = server_that_cuts(Served::new(bytes(300_000)));
    let place = Place::new();
    interrupted(&server, &place);
    fs::write(part_of(&place.path), bytes(400_000)).expect("longer than the file");
    assert_eq!(place.get(&server.url("/a"), None).expect("downloaded"), Downloaded { bytes: 300_000, kept: 0 });
    assert_eq!(fs::read(&place.path).expect("read"), bytes(300_000));
}

#[test]
fn a_part_of_another_address_or_with_a_damaged_note_begins_anew() {
    for note in ["", "{", "{\"url\": 3}", "{\"url\":\"http://elsewhere/a\",\"validator\":\"\\\"v1\\\"\"}"] {
        let server = Server::start([("/a", Served::new(bytes(1000)))]);
        let place = Place::new();
        fs::write(part_of(&place.path), [1; 500]).expect("a part");
        fs::write(place.folder.path().join("a.tar.gz.part.json"), note).expect("a note");
        assert_eq!(place.get(&server.url("/a"), None).expect("downloaded").kept, 0);
        assert_eq!(fs::read(&place.path).expect("read"), bytes(1000), "{note}");
        assert_eq!(place.names(), ["a.tar.gz"]);
    }
}

#[test]
fn wrong_ranges_are_noticed() {
    let served = Served { wrong_range: Some((5, 299_999)), ..Served::new(bytes(300_000)) };
    let server = server_that_cuts(served);
    let place = Place::new();
    // The range is thrown away with what was there, and the whole file is asked for.
    assert_eq!(place.get(&server.url("/a"), None).expect("downloaded").bytes, 300_000);
    assert_eq!(fs::read(&place.path).expect("read"), bytes(300_000));
}

#[test]
fn busy_servers_are_asked_again_and_not_for_ever() {
    let server = Server::start([("/a", Served { refusals: vec![500, 503], ..Served::new(bytes(10)) })]);
    assert_eq!(Place::new().get(&server.url("/a"), None).expect("at the third try").bytes, 10);

    let server = Server::start([("/a", Served { refusals: vec![500; 50], ..Served::new(bytes(10)) })]);
    let place = Place::new();
    let error = place.get(&server.url("/a"), None).expect_err("always 500").to_string();
    assert!(error.contains("HTTP 500") && error.contains("tried 3 times"), "{error}");
    assert_eq!((server.requests().len(), place.names().len()), (3, 0));
}

#[test]
fn answers_that_will_not_change_end_it_at_once() {
    let server = Server::start([
        ("/forbidden", Served { refusals: vec![403; 9], ..Served::new(bytes(10)) }),
        ("/size", Served::new(bytes(10))),
    ]);
    let place = Place::new();
    let error = place.get(&server.url("/none"), None).expect_err("404");
    assert!(matches!(error, DownloadError::NotFound { status: 404, .. }), "{error}");
    let error = place.get(&server.url("/forbidden"), None).expect_err("403").to_string();
    assert!(error.contains("HTTP 403"), "{error}");
    let error = place.get(&server.url("/size"), Some(11)).expect_err("another size").to_string();
    assert!(error.contains("has 10 bytes and should have 11"), "{error}");
    for wrong in ["http://", "nothing", "ftp://127.0.0.1/a", "http://a b/"] {
        let error = place.get(wrong, None).expect_err(wrong);
        assert!(matches!(error, DownloadError::Unusable { .. }), "{wrong}: {error}");
    }
    assert_eq!((server.requests().len(), place.names().len()), (3, 0));
}

#[test]
fn redirects_are_followed_and_circles_are_not() {
    let server = Server::start([("/a", Served::new(bytes(10)))]);
    server.serve("/old", Served { moved_to: Some(server.url("/a")), ..Served::new([]) });
    server.serve("/circle", Served { moved_to: Some(server.url("/circle")), ..Served::new([]) });
    let place = Place::new();
    assert_eq!(place.get(&server.url("/old"), None).expect("downloaded").bytes, 10);
    fs::remove_file(&place.path).expect("removed");
    let error = place.get(&server.url("/circle"), None).expect_err("a circle");
    assert!(matches!(error, DownloadError::Unusable { .. }), "{error}");
    assert_eq!(place.names().len(), 0);
}

#[test]
fn silence_ends_in_time() {
    let server = Server::start([("/a", Served { delay: Duration::from_secs(20), ..Served::new(bytes(10)) })]);
    let started = Instant::now();
    let error = Place::new().get(&server.url("/a"), None).expect_err("no answer").to_string();
    assert!(error.contains("does not answer in time"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
    // Nobody listens at this port.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let error = Place::new().get(&format!("http://127.0.0.1:{port}/a"), None).expect_err("nobody").to_string();
    assert!(error.contains("nothing listens") && error.contains("check the network"), "{error}");
}

#[test]
fn lengths_that_lie_never_give_a_file() {
    // More is promised than comes; nothing grows, so the tries come to an end.
    let server = Server::start([("/a", Served { claimed: Some(500), ..Served::new(bytes(100)) })]);
    let place = Place::new();
    let error = place.get(&server.url("/a"), None).expect_err("too short").to_string();
    assert!(error.contains("cut") || error.contains("not as long"), "{error}");
    assert!(!place.path.exists());
    // Without a length and without an end, and one that claims more than is ever downloaded.
    let server = Server::start([
        ("/endless", Served { endless: true, ..Served::new([]) }),
        ("/huge", Served { claimed: Some(1 << 50), ..Served::new(bytes(100)) }),
    ]);
    for path in ["/endless", "/huge"] {
        let place = Place::new();
        let error = place.get(&server.url(path), None).expect_err(path);
        assert!(matches!(error, DownloadError::TooLarge { limit, .. } if limit == 1 << 20), "{error}");
        assert_eq!(place.names().len(), 0);
    }
}

#[test]
fn two_at_once_do_not_mix_and_old_files_stay_until_the_new_one_is_there() {
    let server = Server::start([("/a", Served { refusals: vec![500; 3], ..Served::new(bytes(10)) })]);
    let place = Place::new();
    fs::write(&place.path, "old").expect("written");
    let other = fs::File::create(part_of(&place.path)).expect("created");
    other.lock().expect("locked");
    let error = place.get(&server.url("/a"), None).expect_err("somebody else is at it");
    assert!(matches!(error, DownloadError::Busy { .. }), "{error}");
    drop(other);
    place.get(&server.url("/a"), None).expect_err("always 500");
    assert_eq!(fs::read(&place.path).expect("read"), b"old");
    place.get(&server.url("/a"), None).expect("downloaded");
    assert_eq!(fs::read(&place.path).expect("read"), bytes(10));
}

#[test]
fn small_texts_are_read_with_a_limit() {
    let server = Server::start([
        ("/a", Served { refusals: vec![500], ..Served::new("text") }),
        ("/long", Served { endless: true, ..Served::new([]) }),
    ]);
    let client = Client::new(policy()).expect("a client");
    assert_eq!(client.read_text(&server.url("/a"), 100).expect("read"), Some("text".to_owned()));
    assert_eq!(client.read_text(&server.url("/none"), 100).expect("asked"), None);
    assert!(matches!(client.read_text(&server.url("/long"), 100), Err(DownloadError::TooLarge { limit: 100, .. })));
}
