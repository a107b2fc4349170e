//! Digests of files: SHA-256, and SHA-384 because some publishers use it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use sha2::{Sha256, Sha384};

/// A digest with its kind. As text it is `sha256:HEX`; a bare HEX is read as the kind that has its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    kind: Kind,
    hex: String,
}

/// The kinds of digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 64 hexadecimal digits.
    Sha256,
    /// 96 hexadecimal digits.
    Sha384,
}

/// A text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a digest; write the 64 hexadecimal digits of a SHA-256, as `sha256sum FILE` prints them")]
pub struct DigestError {
    /// The text, or its beginning.
    pub text: String,
}

impl Digest {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The digest of a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_file(path: &Path, kind: Kind) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let hex = match kind {
            Kind::Sha256 => hash::<Sha256>(&mut file)?,
            Kind::Sha384 => hash::<Sha384>(&mut file)?,
        };
        Ok(Self { kind, hex })
    }

    /// The digest that a `.sha256` file gives for a file: a digest alone, `DIGEST  NAME` lines as `sha256sum` writes them,
    /// or `SHA256 (NAME) = DIGEST` lines as BSD's tools do. A file with one line may name the file as it likes.
    pub fn in_listing(listing: &str, name: &str) -> Option<Self> {
        let lines: Vec<(Self, Option<&str>)> = listing.lines().filter_map(listing_line).collect();
        let names_it = |found: &str| found.rsplit(['/', '\\']).next() == Some(name);
        let named = lines.iter().find(|(_, found)| found.is_some_and(names_it));
        match (named, lines.as_slice()) {
            (Some((digest, _)), _) | (None, [(digest, _)]) => Some(digest.clone()),
            _ => None,
        }
    }
}

/// The digest of a line and the name beside it.
fn listing_line(line: &str) -> Option<(Digest, Option<&str>)> {
    let line = line.trim();
    if let Some((name, digest)) = line.split_once(" = ") {
        let name = name.split_once('(').and_then(|(_, name)| name.strip_suffix(')'));
        return Some((digest.trim().parse().ok()?, name));
    }
    let (digest, name) = line.split_once(char::is_whitespace).map_or((line, None), |(digest, name)| {
        let name = name.trim();
        (digest, Some(name.strip_prefix('*').unwrap_or(name)))
    });
    Some((digest.parse().ok()?, name))
}

fn hash<H: sha2::Digest>(file: &mut File) -> io::Result<String> {
    let mut hasher = H::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let wrong = || DigestError { text: text.chars().take(120).collect() };
        let (named, hex) = match text.trim().split_once(':') {
            Some((kind, hex)) => (Some(kind.to_ascii_lowercase()), hex),
            None => (None, text.trim()),
        };
        let kind = match (named.as_deref(), hex.len()) {
            (None | Some("sha256"), 64) => Kind::Sha256,
            (None | Some("sha384"), 96) => Kind::Sha384,
            _ => return Err(wrong()),
        };
        if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        Ok(Self { kind, hex: hex.to_ascii_lowercase() })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Sha256 => "sha256",
            Kind::Sha384 => "sha384",
        };
        write!(f, "{kind}:{}", self.hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_digests_of_abc_are_those_of_the_standard() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").expect("written");
        assert_eq!(Digest::of_file(&path, Kind::Sha256).expect("read").to_string(), format!("sha256:{ABC}"));
        let long = Digest::of_file(&path, Kind::Sha384).expect("read").to_string();
        assert!(long.starts_with("sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163"), "{long}");
        assert_eq!(long.parse::<Digest>().expect("its own text").to_string(), long);
    }

    #[test]
    fn listings_of_all_tools_are_read() {
        let other = "0".repeat(64);
        let digest = |listing: &str| Digest::in_listing(listing, "a.tar.gz").map(|digest| digest.to_string());
        let expected = Some(format!("sha256:{ABC}"));
        assert_eq!(digest(ABC), expected);
        assert_eq!(digest(&format!("{}\n", ABC.to_uppercase())), expected);
        assert_eq!(digest(&format!("{ABC}  other-name.tar.gz\n")), expected);
        assert_eq!(digest(&format!("{other}  b.tar.gz\n{ABC} *models/a.tar.gz\n")), expected);
        assert_eq!(digest(&format!("SHA256 (b) = {other}\nSHA256 (a.tar.gz) = {ABC}")), expected);
        for nothing in ["", "<html>no</html>", &ABC[1..], &format!("{other}  b\n{ABC}  c"), &"g".repeat(64)] {
            assert_eq!(digest(nothing), None, "{nothing}");
        }
        assert!("sha384:abc".parse::<Digest>().expect_err("too short").to_string().contains("sha384:abc"));
    }
}
