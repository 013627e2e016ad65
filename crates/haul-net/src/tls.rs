//! What to trust.
//!
//! Owns the TLS settings. Certificates are read when the first https request needs them, because that
//! takes a while. A certificate that the caller names is trusted as a server's own, too, and not only as
//! that of an authority: home servers have such ones. Must never trust what neither the system nor the
//! caller names.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

/// Trusts the certificates in `bundle`, or else what the system trusts, which `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` may name. The error says why there is nothing to trust.
pub(crate) fn config(bundle: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let trusting = match bundle {
        Some(path) => {
            let named = Named::new(&provider, read(path)?)
                .map_err(|what| format!("certificates in {}: {what}", path.display()))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(named))
        }
        None => builder.with_native_roots().map_err(|e| {
            tracing::debug!("{e}");
            "no certificates of anybody to trust were found on this system".to_owned()
        })?,
    };
    let mut config = trusting.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bad = |what: &dyn std::fmt::Display| format!("certificates in {}: {what}", path.display());
    let all = CertificateDer::pem_file_iter(path).map_err(|e| bad(&e))?;
    all.collect::<Result<_, _>>().map_err(|e| bad(&e))
}

/// Trusts what the caller named: authorities, and servers whose own certificate is among them.
#[derive(Debug)]
struct Named {
    authorities: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Named {
    fn new(
        provider: &Arc<rustls::crypto::CryptoProvider>,
        certificates: Vec<CertificateDer<'static>>,
    ) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        // Bundles hold a few that no library understands: the rest is of use all the same.
        roots.add_parsable_certificates(certificates.iter().cloned());
        if roots.is_empty() {
            return Err("there is none".to_owned());
        }
        let provider = Arc::clone(provider);
        let authorities = WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Self { authorities, certificates })
    }
}

/// Whether a certificate was refused only because it is that of an authority. That is looked at after its
/// validity in time, and before its name.
pub(crate) fn is_authority(e: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = e else { return false };
    let found = other.0.downcast_ref::<webpki::Error>();
    matches!(found, Some(webpki::Error::CaUsedAsEndEntity))
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.authorities.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        match verified {
            // The same certificate, byte by byte: a name can be anybody's.
            Err(e) if is_authority(&e) && self.certificates.iter().any(|c| c == end_entity) => {
                let parsed = rustls::server::ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_certificates_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.pem");
        let e = config(Some(&path)).unwrap_err();
        assert!(e.contains("bundle.pem"), "{e}");
        std::fs::write(&path, "no certificate").unwrap();
        let e = config(Some(&path)).unwrap_err();
        assert!(e.contains("bundle.pem") && e.contains("there is none"), "{e}");
    }

    /// A certificate, valid for so many days from `from` days on, and its key.
    fn certificate(
        host: &str,
        authority: bool,
        days: (i64, i64),
    ) -> (rcgen::Certificate, rcgen::KeyPair) {
        let mut params = rcgen::CertificateParams::new([host.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "home");
        if authority {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        let now = std::time::SystemTime::now();
        let at = |n: i64| {
            let by = std::time::Duration::from_hours(24 * n.unsigned_abs());
            if n < 0 { now - by } else { now + by }
        };
        (params.not_before, params.not_after) = (at(days.0).into(), at(days.1).into());
        let key = rcgen::KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap(), key)
    }

    /// What comes of a request to a server with this certificate from a client that trusts that one.
    async fn request(
        server: (rcgen::Certificate, rcgen::KeyPair),
        host: &str,
        trusted: &rcgen::Certificate,
    ) -> haul_core::Result<()> {
        use rustls::pki_types::PrivateKeyDer;
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.pem");
        std::fs::write(&path, trusted.pem()).unwrap();
        let key = PrivateKeyDer::try_from(server.1.serialize_der()).unwrap();
        let config =
            rustls::ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![server.0.der().clone()], key)
                .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            let accepted = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(tcp).await;
            let Ok(mut tls) = accepted else { return };
            let _head = tls.read(&mut [0; 1024]).await;
            tls.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        });
        let options = crate::NetOptions {
            proxies: crate::Proxies::all("", "*"),
            ca_bundle: Some(path),
            ..crate::NetOptions::default()
        };
        let pools = crate::Pools::<http_body_util::Empty<&[u8]>>::new(options);
        let uri = format!("https://{host}:{port}/");
        let request = http::Request::get(uri).body(http_body_util::Empty::new()).unwrap();
        let sent = pools.send(request).await;
        drop(pools);
        serving.await.unwrap();
        sent.map(drop).map_err(|e| crate::undelivered(haul_core::Op::Read, "there", &e))
    }

    /// E.27: what `openssl req -x509` makes is a server's certificate and its own authority.
    #[tokio::test]
    async fn a_certificate_that_is_its_own_authority_is_trusted_if_it_was_named() {
        for authority in [true, false] {
            let own = certificate("localhost", authority, (-1, 1));
            let trusted = own.0.clone();
            request(own, "localhost", &trusted).await.unwrap();
        }
    }

    /// E.27: by the certificate itself, for its host, as long as it is valid; and words if not.
    #[tokio::test]
    async fn one_that_was_not_named_is_refused_in_words() {
        let other = || certificate("localhost", true, (-1, 1));
        let refused =
            async |server: (rcgen::Certificate, rcgen::KeyPair), host: &str, own: bool| {
                let trusted = if own { server.0.clone() } else { other().0 };
                let e = request(server, host, &trusted).await.unwrap_err();
                assert_eq!(e.retry(), haul_core::Retry::Never);
                e.detail().to_owned()
            };
        let said = refused(certificate("localhost", true, (-1, 1)), "localhost", false).await;
        assert_eq!(said, "the server's certificate is its own authority, and not one to trust");
        // Another key under the same name.
        let said = refused(certificate("localhost", false, (-1, 1)), "localhost", false).await;
        assert!(said.starts_with("the server's certificate "), "{said}");
        let said = refused(certificate("elsewhere", true, (-1, 1)), "localhost", true).await;
        assert_eq!(said, "the server's certificate is for another host");
        let said = refused(certificate("localhost", true, (-2, -1)), "localhost", true).await;
        assert_eq!(said, "the server's certificate has expired");
    }
}
