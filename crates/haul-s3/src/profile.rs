//! A profile of the AWS files that was named.
//!
//! Owns what naming one means: it must be there, and what it says of keys, region and endpoint comes
//! before what the environment says. Must never show what it holds.

use aws_config::profile::{ProfileFileCredentialsProvider, ProfileSet};
use aws_config::provider_config::ProviderConfig;
use aws_sdk_s3::config::Region;
use aws_types::os_shim_internal::{Env, Fs};
use haul_core::{Error, ErrorKind, Hint, Op, Result};

use crate::sdk::Http;

/// A profile that somebody named, and that is there.
#[derive(Clone)]
pub(crate) struct Named {
    name: String,
    region: Option<Region>,
}

impl Named {
    pub(crate) async fn find(name: &str) -> Result<Self> {
        let wrong = |what: String| Error::new(ErrorKind::Invalid, Op::Configure, "the store", what);
        #[expect(
            clippy::default_trait_access,
            reason = "its type is of a crate that we do not name"
        )]
        let files = Default::default();
        let chosen = Some(name.to_owned().into());
        let known =
            aws_config::profile::load(&Fs::real(), &Env::real(), &files, chosen).await.map_err(
                |e| wrong("the AWS configuration files cannot be read".into()).with_source(e),
            )?;
        let profile = known.get_profile(name).ok_or_else(|| {
            wrong(format!("there is no profile called {name}")).with_hint(names(&known))
        })?;
        let region = profile.get("region").map(|region| Region::new(region.to_owned()));
        Ok(Self { name: name.to_owned(), region })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn region(&self) -> Option<Region> {
        self.region.clone()
    }

    /// Its keys and no others: those of the environment may be for another store.
    pub(crate) fn keys(
        &self,
        region: Option<&Region>,
        http: &Http,
    ) -> ProfileFileCredentialsProvider {
        let config = ProviderConfig::without_region()
            .with_region(region.cloned())
            .with_http_client(http.clone());
        ProfileFileCredentialsProvider::builder()
            .configure(&config)
            .profile_name(&self.name)
            .build()
    }
}

/// The profiles that there are.
fn names(known: &ProfileSet) -> Hint {
    let mut names: Vec<_> = known.profiles().collect();
    names.sort_unstable();
    Hint::ChooseProfile(names.into_iter().map(Into::into).collect())
}
