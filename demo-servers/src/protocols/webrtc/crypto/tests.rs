//! Against known vectors. The library of DTLS computes its own whenever a connection is made.

use dimpl::crypto::{Buf, HashAlgorithm, SignatureAlgorithm};
use str0m::crypto::dtls::DtlsProvider;
use str0m::crypto::{Sha1HmacProvider, Sha256Provider};

use super::{DtlsByRing, Fingerprints, StunIntegrity, config, dtls};

/// Test case 2 of RFC 2202, its data in two pieces.
#[test]
fn stun_integrity_is_hmac_sha1() {
    let mac = StunIntegrity.sha1_hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
    assert_eq!(mac[..4], [0xef, 0xfc, 0xdf, 0x6a]);
    assert_eq!(mac[16..], [0x25, 0x9a, 0x7c, 0x79]);
}

#[test]
fn a_fingerprint_is_sha_256() {
    assert_eq!(Fingerprints.sha256(b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
}

#[test]
fn the_library_accepts_the_functions() {
    config(Some(1150)).unwrap();
}

#[test]
fn only_the_key_of_the_certificate_signs_for_it() {
    let provider = dtls::provider();
    let verify = |certificate: &[u8], signature: &[u8]| {
        provider.signature_verification.verify_signature(
            certificate,
            b"what was said",
            signature,
            HashAlgorithm::SHA256,
            SignatureAlgorithm::ECDSA,
        )
    };
    let [own, other] = [(); 2].map(|()| DtlsByRing.generate_certificate().unwrap());
    let mut key = provider.key_provider.load_private_key(&own.private_key).unwrap();
    let mut signature = Buf::new();
    key.sign(b"what was said", HashAlgorithm::SHA256, &mut signature).unwrap();
    verify(&own.certificate, &signature).unwrap();
    verify(&other.certificate, &signature).unwrap_err();
    signature[10] ^= 1;
    verify(&own.certificate, &signature).unwrap_err();
}
