//! Makes the server's certificate at its start, and verifies certificates that a client cannot
//! know.

use std::fs;
use std::path::Path;

use anyhow::Context;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use crate::delay_link::{FAR, NEAR};

/// A certificate, signed by its own key.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Makes one for the names and addresses that a demo's server has. With a path, the certificate
    /// is written there (PEM), for clients that verify it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn make(path: Option<&Path>) -> anyhow::Result<Self> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let names = [&names[..], &[NEAR, FAR].map(|address| address.to_string())].concat();
        let made =
            rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
        if let Some(path) = path {
            fs::write(path, made.cert.pem())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
            .map_err(anyhow::Error::msg)?;
        Ok(Self { certificate: made.cert.der().clone(), key })
    }
}

/// Trusts any certificate, and verifies only that the server has its key.
///
/// The server makes the certificate, and the client knows nothing of the server but its address: no
/// third party vouches for it. Someone between the two could read along, so this is for demos
/// alone. The handshake takes as many round trips as with a verified certificate.
#[derive(Debug)]
pub(super) struct AnyCertificate(CryptoProvider);

impl Default for AnyCertificate {
    fn default() -> Self {
        Self(ring::default_provider())
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
