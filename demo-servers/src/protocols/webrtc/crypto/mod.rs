//! The cryptography of WebRTC by ring, which TLS and QUIC need as well. str0m's own providers would
//! bring a second one: 38 more crates, one of them in C.
//!
//! Here is what str0m asks for: STUN's message integrity, fingerprints, and DTLS. `dtls` has what
//! the library of DTLS asks for.

mod dtls;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use dimpl::{Config, Dtls};
use ring::{digest, hmac};
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion,
};
use str0m::crypto::{
    CryptoError, CryptoProvider, Sha1HmacProvider, Sha256Provider, SrtpProvider,
    SupportedAeadAes128Gcm, SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
};

/// Makes every connection of this process use ring.
pub(super) fn install() {
    CryptoProvider {
        srtp_provider: &NoMedia,
        sha1_hmac_provider: &StunIntegrity,
        sha256_provider: &Fingerprints,
        dtls_provider: &DtlsByRing,
    }
    .install_process_default();
}

/// HMAC-SHA1, by which STUN messages prove that their sender knows the password of the offer.
#[derive(Debug)]
struct StunIntegrity;

impl Sha1HmacProvider for StunIntegrity {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
        let mut context = hmac::Context::with_key(&key);
        for payload in payloads {
            context.update(payload);
        }
        fixed(context.sign().as_ref())
    }
}

/// SHA-256 of certificates, by which an offer names the key of the other side.
#[derive(Debug)]
struct Fingerprints;

impl Sha256Provider for Fingerprints {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        fixed(digest::digest(&digest::SHA256, data).as_ref())
    }
}

/// The bytes of a digest, whose length its algorithm fixes.
fn fixed<const LENGTH: usize>(bytes: &[u8]) -> [u8; LENGTH] {
    bytes.try_into().unwrap_or_else(|_| unreachable!("the algorithm has this length"))
}

/// Encryption of audio and video: never asked for, since [`Session`] passes on no keys for it.
#[derive(Debug)]
struct NoMedia;

/// Why no method of [`NoMedia`] is called.
const NO_MEDIA: &str = "data channels have no keys for media";

impl SrtpProvider for NoMedia {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        unreachable!("{NO_MEDIA}")
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        unreachable!("{NO_MEDIA}")
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        unreachable!("{NO_MEDIA}")
    }

    fn srtp_aes_128_ecb_round(&self, _: &[u8], _: &[u8], _: &mut [u8]) {
        unreachable!("{NO_MEDIA}")
    }

    fn srtp_aes_256_ecb_round(&self, _: &[u8], _: &[u8], _: &mut [u8]) {
        unreachable!("{NO_MEDIA}")
    }
}

/// Makes certificates, and connections of DTLS.
#[derive(Debug)]
struct DtlsByRing;

impl DtlsProvider for DtlsByRing {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        let made = rcgen::generate_simple_self_signed(Vec::new()).ok()?;
        Some(DtlsCert {
            certificate: made.cert.der().to_vec(),
            private_key: made.signing_key.serialize_der(),
        })
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let config = config(mtu)?;
        let certificate = certificate.clone();
        let dtls = match version {
            DtlsVersion::Dtls12 => Dtls::new_12(config, certificate, now),
            DtlsVersion::Dtls13 => Dtls::new_13(config, certificate, now),
            _ => Dtls::new_auto(config, certificate, now),
        };
        Ok(Box::new(Session(dtls)))
    }
}

fn config(mtu: Option<usize>) -> Result<Arc<Config>, DtlsImplError> {
    // ICE has shown before that the other side receives at its address, which is what a cookie
    // would prove.
    let mut builder =
        Config::builder().with_crypto_provider(dtls::provider()).use_server_cookie(false);
    if let Some(mtu) = mtu {
        builder = builder.mtu(mtu);
    }
    Ok(Arc::new(builder.build()?))
}

/// One connection of DTLS.
#[derive(Debug)]
struct Session(Dtls);

impl DtlsInstance for Session {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        match self.0.poll_output(buffer) {
            // The library always agrees on keys for media. They come with the end of the handshake,
            // which may be told twice.
            DtlsOutput::KeyingMaterial(..) => DtlsOutput::Connected,
            output => output,
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<(), DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
