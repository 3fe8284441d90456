//! Certificates of callers, of any kind, and lists of revoked ones.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use super::keys::{Pair, authority};

/// A CA beside the usual one.
pub(crate) fn another_authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "another CA");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate that callers may show, in the making: of the usual CA, for the year around now.
pub(crate) struct Caller {
    pub(crate) params: CertificateParams,
    pub(crate) key: KeyPair,
}

impl Caller {
    pub(crate) fn named(common_name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "US");
        params.distinguished_name.push(DnType::OrganizationName, "ASAPP, Inc.");
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(365);
        Self { params, key: KeyPair::generate().unwrap() }
    }

    pub(crate) fn serial(mut self, number: u64) -> Self {
        self.params.serial_number = Some(SerialNumber::from(number));
        self
    }

    /// From and until so many days from now.
    pub(crate) fn valid(mut self, from: i64, until: i64) -> Self {
        self.params.not_before = OffsetDateTime::now_utc() + Duration::days(from);
        self.params.not_after = OffsetDateTime::now_utc() + Duration::days(until);
        self
    }

    pub(crate) fn usage(mut self, usages: &[ExtendedKeyUsagePurpose]) -> Self {
        self.params.extended_key_usages = usages.to_vec();
        self
    }

    pub(crate) fn san(mut self, name: SanType) -> Self {
        self.params.subject_alt_names.push(name);
        self
    }

    pub(crate) fn key(mut self, key: KeyPair) -> Self {
        self.key = key;
        self
    }

    pub(crate) fn pair(&self) -> Pair {
        self.signed_by(authority())
    }

    pub(crate) fn signed_by(&self, authority: &CertifiedIssuer<'static, KeyPair>) -> Pair {
        let certificate = self.params.signed_by(&self.key, authority).unwrap();
        Pair { certificate: certificate.pem(), key: self.key.serialize_pem() }
    }

    pub(crate) fn self_signed(&self) -> Pair {
        let certificate = self.params.self_signed(&self.key).unwrap();
        Pair { certificate: certificate.pem(), key: self.key.serialize_pem() }
    }
}

/// A list of revoked certificates, in PEM; the next one comes in so many days, and it was made a day before today or
/// before that.
pub(crate) fn revoked(authority: &CertifiedIssuer<'static, KeyPair>, serials: &[u64], next: i64) -> String {
    let now = OffsetDateTime::now_utc();
    let list = CertificateRevocationListParams {
        this_update: now + Duration::days(next.min(0) - 1),
        next_update: now + Duration::days(next),
        crl_number: SerialNumber::from(1u64),
        issuing_distribution_point: None,
        revoked_certs: serials
            .iter()
            .map(|serial| RevokedCertParams {
                serial_number: SerialNumber::from(*serial),
                revocation_time: now - Duration::days(1),
                reason_code: None,
                invalidity_date: None,
            })
            .collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(authority).unwrap().pem().unwrap()
}
