//! Checks of client certificates: listeners that ask for them, and clients that they name.

use super::super::raw::{AlternativeName, CertificateName, CertificatePolicy, Client, ClientCertificate, Listen, Tls};
use super::Check;

impl Check<'_> {
    pub(super) fn client_certificates(&mut self, at: &str, tls: &Tls) {
        self.no_empty_list(&format!("{at}.client_crl"), "name a file of revoked certificates, or remove the key");
        self.no_empty_list(&format!("{at}.client_names"), "name the certificates to accept, or remove the key");
        let set = [
            ("client_certificate", tls.client_certificate.is_some()),
            ("client_crl", !tls.client_crl.is_empty()),
            ("client_names", !tls.client_names.is_empty()),
            ("client_self_signed", tls.client_self_signed),
            ("client_certificate_policy", tls.client_certificate_policy != CertificatePolicy::Any),
        ];
        for (key, _) in set.into_iter().filter(|(_, is_set)| *is_set && tls.client_ca.is_none()) {
            let message = format!("`{key}` needs `client_ca`: nothing says whose certificates are good");
            self.add(&format!("{at}.{key}"), message, format!("add `client_ca`, or remove `{key}`"));
        }
        if tls.client_self_signed && tls.client_certificate != Some(ClientCertificate::Optional) {
            let message = "a certificate that nobody has signed would count like one that is required";
            self.add(&format!("{at}.client_self_signed"), message, "add client_certificate: optional");
        }
        for (index, name) in tls.client_names.iter().enumerate() {
            self.certificate_name(&format!("{at}.client_names[{index}]"), name);
        }
    }

    fn certificate_name(&mut self, at: &str, name: &CertificateName) {
        if name.subject.is_none() && name.san.is_none() {
            self.add(at, "nothing says whose certificate this is", "add `subject`, `san` or both");
        }
        if let Some(subject) = &name.subject {
            self.not_blank(&format!("{at}.subject"), subject);
        }
        match &name.san {
            Some(AlternativeName::Dns(text)) => self.not_blank(&format!("{at}.san.dns"), text),
            Some(AlternativeName::Uri(text)) => self.not_blank(&format!("{at}.san.uri"), text),
            Some(AlternativeName::Email(text)) => self.not_blank(&format!("{at}.san.email"), text),
            None => {}
        }
    }

    /// Certificates that authenticate a client, and those that its tokens are bound to.
    pub(super) fn certificates_of(&mut self, at: &str, client: &Client) {
        for (key, name) in [("certificate", &client.certificate), ("tls_client_auth", &client.tls_client_auth)] {
            if let Some(name) = name {
                let at = format!("{at}.{key}");
                self.certificate_name(&at, name);
                self.some_listener_asks(&at);
            }
        }
        if client.client_ca.is_some() && client.certificate.is_none() && client.tls_client_auth.is_none() {
            let message = "`client_ca` is about the CA of a certificate, and this client names none";
            self.add(&format!("{at}.client_ca"), message, "add `certificate` or `tls_client_auth`, or remove it");
        }
        if client.certificate_bound_tokens {
            self.some_listener_asks(&format!("{at}.certificate_bound_tokens"));
        }
        let takes_own = |listen: &Listen| listen.tls.as_ref().is_some_and(|tls| tls.client_self_signed);
        if !client.certificates.is_empty() && !self.raw.listen.iter().any(takes_own) {
            let message = "no listener takes certificates that no CA has signed";
            self.add(&format!("{at}.certificates"), message, "add client_self_signed: true to the `tls` of a listener");
        }
    }

    /// Reports a key that needs a listener on which callers show certificates.
    fn some_listener_asks(&mut self, at: &str) {
        let asks = |listen: &Listen| listen.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        if !self.raw.listen.iter().any(asks) {
            let message = "no listener asks callers for a certificate, so nobody could show this one";
            self.add(at, message, "add `client_ca` to the `tls` of a listener");
        }
    }
}
