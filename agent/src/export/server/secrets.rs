//! What protects the metrics: a token, TLS.

use std::{fmt, fs, io, path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};

/// The largest token, bytes.
const MAX_TOKEN: usize = 4_096;

/// A bearer token.
#[derive(Clone)]
pub(crate) struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The reason why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("cannot read {what} from {}: {error}", path.display())]
    Read { what: &'static str, path: Box<Path>, error: io::Error },
    #[error(
        "{} has no token: it is one line of printable ASCII characters without spaces, of 16 to \
         {MAX_TOKEN}", path.display()
    )]
    NoToken { path: Box<Path> },
    #[error("{} has no {what} in PEM form: {error}", path.display())]
    Pem { what: &'static str, path: Box<Path>, error: pem::Error },
    #[error("the certificate and the key cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

impl Token {
    /// Reads a token from a file.
    ///
    /// # Errors
    /// The file cannot be read, or has none.
    pub(crate) fn read(path: &Path) -> Result<Self, SecretError> {
        let text = fs::read_to_string(path).map_err(|error| SecretError::Read {
            what: "the token",
            path: path.into(),
            error,
        })?;
        let token = text.trim();
        let is_one = (16..=MAX_TOKEN).contains(&token.len())
            && token.bytes().all(|byte| byte.is_ascii_graphic());
        if is_one {
            Ok(Self(token.to_owned()))
        } else {
            Err(SecretError::NoToken { path: path.into() })
        }
    }

    /// Tells whether the value of an `Authorization` header has the token. It takes as long for a
    /// wrong one as for the right one.
    pub(crate) fn admits(&self, header: Option<&[u8]>) -> bool {
        let Some((scheme, given)) = header.and_then(|value| value.split_at_checked(7)) else {
            return false;
        };
        if !scheme.eq_ignore_ascii_case(b"bearer ") || given.len() != self.0.len() {
            return false;
        }
        let differences = given.iter().zip(self.0.bytes());
        differences.fold(0, |sum, (given, ours)| sum | (given ^ ours)) == 0
    }

    /// The value of a header that has it.
    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

/// Reads a certificate with its chain, and its key.
///
/// # Errors
/// A file cannot be read, or they do not belong together.
pub(crate) fn server_config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, SecretError> {
    let chain = certificates(cert)?;
    let bytes = read("the key", key)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| SecretError::Pem {
        what: "private key",
        path: key.into(),
        error,
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Reads certificates.
///
/// # Errors
/// The file cannot be read, or has none.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SecretError> {
    let bytes = read("certificates", path)?;
    let failed = |error| SecretError::Pem { what: "certificate", path: path.into(), error };
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match all.map_err(failed)? {
        none if none.is_empty() => Err(failed(pem::Error::NoItemsFound)),
        all => Ok(all),
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, SecretError> {
    fs::read(path).map_err(|error| SecretError::Read { what, path: path.into(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Result<Token, SecretError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Token::read(file.path())
    }

    #[test]
    fn only_the_token_is_admitted() {
        let token = token("0123456789abcdef\n").unwrap();
        for right in ["Bearer 0123456789abcdef", "bearer 0123456789abcdef"] {
            assert!(token.admits(Some(right.as_bytes())), "{right}");
        }
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Basic 0123456789abcdef",
            "Bearer 0123456789abcdeF",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
        ] {
            assert!(!token.admits(Some(wrong.as_bytes())), "{wrong}");
        }
        assert!(!token.admits(None));
        assert_eq!(format!("{token:?}"), "Token", "it is not printed");
    }

    #[test]
    fn a_file_without_a_token_is_told() {
        for text in ["", "short", "0123456789 abcdef", "0123456789abcdef\n0123456789abcdef"] {
            let error = token(text).unwrap_err().to_string();
            assert!(error.contains("has no token"), "{error}");
        }
        let error = Token::read(Path::new("/nowhere/token")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/token") && error.contains("No such file"), "{error}");
    }

    #[test]
    fn files_without_a_certificate_or_a_key_are_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "nothing").unwrap();
        let error = server_config(file.path(), file.path()).unwrap_err().to_string();
        assert!(error.contains("has no certificate"), "{error}");
    }
}
