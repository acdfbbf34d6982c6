//! What the library of DTLS asks for, by ring. One cipher suite for each version, which every
//! browser has as well.

use std::fmt;

use dimpl::crypto::{
    Aad, ActiveKeyExchange, Buf, Cipher, CryptoProvider, Dtls12CipherSuite, Dtls13CipherSuite,
    HashAlgorithm, HashContext, HashProvider, HmacProvider, KeyProvider, NamedGroup, Nonce,
    SecureRandom, SignatureAlgorithm, SignatureVerifier, SigningKey, SupportedDtls12CipherSuite,
    SupportedDtls13CipherSuite, SupportedKxGroup, TmpBuf,
};
use dimpl::{CryptoError, CryptoOperation};
use ring::aead::{self, LessSafeKey, UnboundKey, quic};
use ring::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use ring::{digest, hmac};
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// Bytes of an authentication tag; both suites have tags of this length.
const TAG: usize = 16;

/// The functions of ring, as the library takes them.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: GROUPS,
        signature_verification: &Ring,
        key_provider: &Ring,
        secure_random: &Ring,
        hash_provider: &Ring,
        hmac_provider: &Ring,
        cipher_suites: &[&Aes128Gcm],
        dtls13_cipher_suites: &[&ChaCha20Poly1305],
    }
}

fn failed(operation: CryptoOperation) -> impl FnOnce(ring::error::Unspecified) -> CryptoError {
    move |_| CryptoError::OperationFailed(operation)
}

/// ECDHE_ECDSA with AES-128-GCM, for DTLS 1.2.
#[derive(Debug)]
struct Aes128Gcm;

impl SupportedDtls12CipherSuite for Aes128Gcm {
    fn suite(&self) -> Dtls12CipherSuite {
        Dtls12CipherSuite::ECDHE_ECDSA_AES128_GCM_SHA256
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn key_lengths(&self) -> (usize, usize, usize) {
        (0, 16, 4)
    }

    fn explicit_nonce_len(&self) -> usize {
        8
    }

    fn tag_len(&self) -> usize {
        TAG
    }

    fn create_cipher(&self, key: &[u8]) -> Result<Box<dyn Cipher>, CryptoError> {
        Key::cipher(&aead::AES_128_GCM, key)
    }
}

/// ChaCha20-Poly1305, for DTLS 1.3. With AES, ring could not hide record numbers as DTLS does.
#[derive(Debug)]
struct ChaCha20Poly1305;

impl SupportedDtls13CipherSuite for ChaCha20Poly1305 {
    fn suite(&self) -> Dtls13CipherSuite {
        Dtls13CipherSuite::CHACHA20_POLY1305_SHA256
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn key_len(&self) -> usize {
        32
    }

    fn iv_len(&self) -> usize {
        12
    }

    fn tag_len(&self) -> usize {
        TAG
    }

    fn create_cipher(&self, key: &[u8]) -> Result<Box<dyn Cipher>, CryptoError> {
        Key::cipher(&aead::CHACHA20_POLY1305, key)
    }

    fn encrypt_sn(&self, key: &[u8], sample: &[u8; 16]) -> [u8; 16] {
        // QUIC hides its packet numbers in the same way. Of the mask, DTLS uses two bytes.
        let mask = quic::HeaderProtectionKey::new(&quic::CHACHA20, key)
            .and_then(|key| key.new_mask(sample))
            .unwrap_or_else(|_| unreachable!("key and sample have the lengths of the suite"));
        let mut whole = [0; 16];
        whole[..mask.len()].copy_from_slice(&mask);
        whole
    }
}

/// A key for one direction.
struct Key(LessSafeKey);

impl Key {
    fn cipher(
        algorithm: &'static aead::Algorithm,
        key: &[u8],
    ) -> Result<Box<dyn Cipher>, CryptoError> {
        let key = UnboundKey::new(algorithm, key).map_err(failed(CryptoOperation::CreateCipher))?;
        Ok(Box::new(Self(LessSafeKey::new(key))))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key")
    }
}

impl Cipher for Key {
    fn encrypt(&mut self, text: &mut Buf, aad: Aad, nonce: Nonce) -> Result<(), CryptoError> {
        let nonce = aead::Nonce::assume_unique_for_key(nonce.0);
        self.0
            .seal_in_place_append_tag(nonce, aead::Aad::from(&*aad), text)
            .map_err(failed(CryptoOperation::Encrypt))
    }

    fn decrypt(&mut self, text: &mut TmpBuf, aad: Aad, nonce: Nonce) -> Result<(), CryptoError> {
        let nonce = aead::Nonce::assume_unique_for_key(nonce.0);
        let opened = self
            .0
            .open_in_place(nonce, aead::Aad::from(&*aad), text.as_mut())
            .map_err(failed(CryptoOperation::Decrypt))?
            .len();
        text.truncate(opened);
        Ok(())
    }
}

/// A curve on which keys are exchanged.
#[derive(Debug)]
struct Group {
    name: NamedGroup,
    algorithm: &'static agreement::Algorithm,
}

impl SupportedKxGroup for Group {
    fn name(&self) -> NamedGroup {
        self.name
    }

    fn start_exchange(&self, mut public: Buf) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        let private = EphemeralPrivateKey::generate(self.algorithm, &SystemRandom::new())
            .map_err(failed(CryptoOperation::GenerateEphemeralKey))?;
        let computed =
            private.compute_public_key().map_err(failed(CryptoOperation::ComputePublicKey))?;
        public.clear();
        public.extend_from_slice(computed.as_ref());
        Ok(Box::new(Exchange { group: self.name, private, public }))
    }
}

static GROUPS: &[&dyn SupportedKxGroup] = &[&X25519, &P256];
static X25519: Group = Group { name: NamedGroup::X25519, algorithm: &agreement::X25519 };
static P256: Group = Group { name: NamedGroup::Secp256r1, algorithm: &agreement::ECDH_P256 };

/// One exchange of keys.
struct Exchange {
    group: NamedGroup,
    private: EphemeralPrivateKey,
    public: Buf,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Exchange").field("group", &self.group).finish_non_exhaustive()
    }
}

impl ActiveKeyExchange for Exchange {
    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn complete(self: Box<Self>, peer: &[u8], shared: &mut Buf) -> Result<(), CryptoError> {
        let peer = UnparsedPublicKey::new(self.private.algorithm(), peer);
        agreement::agree_ephemeral(self.private, &peer, |secret| {
            shared.clear();
            shared.extend_from_slice(secret);
        })
        .map_err(|_| CryptoError::InvalidPublicKey(self.group))
    }

    fn group(&self) -> NamedGroup {
        self.group
    }
}

/// Everything that has no state.
#[derive(Debug)]
struct Ring;

impl SecureRandom for Ring {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), CryptoError> {
        SystemRandom::new().fill(bytes).map_err(failed(CryptoOperation::FillRandom))
    }
}

impl HashProvider for Ring {
    fn create_hash(&self, algorithm: HashAlgorithm) -> Box<dyn HashContext> {
        let algorithm = match algorithm {
            HashAlgorithm::SHA384 => &digest::SHA384,
            _ => &digest::SHA256,
        };
        Box::new(Hash(digest::Context::new(algorithm)))
    }
}

/// A hash of what was said so far.
struct Hash(digest::Context);

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hash")
    }
}

impl HashContext for Hash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        out.clear();
        out.extend_from_slice(self.0.clone().finish().as_ref());
    }
}

impl HmacProvider for Ring {
    fn hmac(
        &self,
        hash: HashAlgorithm,
        key: &[u8],
        data: &[u8],
        out: &mut [u8],
    ) -> Result<usize, CryptoError> {
        let algorithm = match hash {
            HashAlgorithm::SHA256 => hmac::HMAC_SHA256,
            HashAlgorithm::SHA384 => hmac::HMAC_SHA384,
            other => return Err(CryptoError::UnsupportedHmacHash(other)),
        };
        let tag = hmac::sign(&hmac::Key::new(algorithm, key), data);
        let tag = tag.as_ref();
        out[..tag.len()].copy_from_slice(tag);
        Ok(tag.len())
    }
}

impl KeyProvider for Ring {
    fn load_private_key(&self, der: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        let random = SystemRandom::new();
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &random)
            .map(|pair| Box::new(Signer(pair)) as Box<dyn SigningKey>)
            .map_err(|_| CryptoError::InvalidPrivateKey)
    }
}

/// The key of a certificate, on the curve P-256.
#[derive(Debug)]
struct Signer(EcdsaKeyPair);

impl SigningKey for Signer {
    fn sign(
        &mut self,
        data: &[u8],
        requested: HashAlgorithm,
        out: &mut Buf,
    ) -> Result<(), CryptoError> {
        let key_hash = self.hash_algorithm();
        if requested != key_hash {
            return Err(CryptoError::SigningKeyHashMismatch { key_hash, requested });
        }
        let signature =
            self.0.sign(&SystemRandom::new(), data).map_err(failed(CryptoOperation::Sign))?;
        out.clear();
        out.extend_from_slice(signature.as_ref());
        Ok(())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        &[HashAlgorithm::SHA256]
    }
}

impl SignatureVerifier for Ring {
    fn verify_signature(
        &self,
        certificate: &[u8],
        data: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
        kind: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        if kind != SignatureAlgorithm::ECDSA {
            return Err(CryptoError::UnsupportedSignatureAlgorithm(kind));
        }
        let [p256, p384] = match hash {
            HashAlgorithm::SHA256 => {
                [webpki::ring::ECDSA_P256_SHA256, webpki::ring::ECDSA_P384_SHA256]
            }
            HashAlgorithm::SHA384 => {
                [webpki::ring::ECDSA_P256_SHA384, webpki::ring::ECDSA_P384_SHA384]
            }
            _ => {
                return Err(CryptoError::UnsupportedSignaturePair { signature: kind, hash });
            }
        };
        let der = CertificateDer::from(certificate);
        let certificate =
            EndEntityCert::try_from(&der).map_err(|_| CryptoError::CertificateParseFailed)?;
        for algorithm in [p256, p384] {
            // An algorithm of the other curve does not fit the key, and is refused at once.
            if certificate.verify_signature(algorithm, data, signature).is_ok() {
                return Ok(());
            }
        }
        Err(CryptoError::OperationFailed(CryptoOperation::VerifySignature))
    }
}
