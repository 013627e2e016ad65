//! What to trust.
//!
//! Owns the TLS settings. Certificates are read when the first https request needs them, because that
//! takes a while. Must never trust what neither the system nor the caller names.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Trusts the certificates in `bundle`, or else what the system trusts, which `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` may name. The error says why there is nothing to trust.
pub(crate) fn config(bundle: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let trusting = match bundle {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder.with_native_roots().map_err(|e| {
            tracing::debug!("{e}");
            "no certificates of anybody to trust were found on this system".to_owned()
        })?,
    };
    let mut config = trusting.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let bad = |what: &dyn std::fmt::Display| format!("certificates in {}: {what}", path.display());
    let mut roots = RootCertStore::empty();
    let all: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|e| bad(&e))?.collect();
    // Bundles hold a few that no library understands: the rest is of use all the same.
    roots.add_parsable_certificates(all.map_err(|e| bad(&e))?);
    if roots.is_empty() { Err(bad(&"there is none")) } else { Ok(roots) }
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
}
