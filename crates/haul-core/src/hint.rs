//! The way out of an error, as data.
//!
//! Owns which ways out there are, and the words of each for callers of the library: `Display` speaks
//! of facts and of options of the API. It must never name a flag or a command: how those are called
//! is for the program to say, which matches on the hint.

use std::fmt;

use derive_more::Display;

use crate::redact;

/// What to do about an error, as far as the library knows. The options that some speak of are named in
/// brackets.
///
/// ```
/// use haul_core::{Error, ErrorKind, Hint, Op};
/// let e = Error::new(ErrorKind::WrongRegion, Op::Open, "s3://b/k", "the bucket is elsewhere")
///     .with_hint(Hint::NameRegion("eu-west-1".into()));
/// let advice = match e.hint() {
///     Some(Hint::NameRegion(region)) => format!("run it with MY_REGION={region}"),
///     Some(hint) => hint.to_string(),
///     None => String::new(),
/// };
/// assert_eq!(advice, "run it with MY_REGION=eu-west-1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Display)]
#[non_exhaustive]
pub enum Hint {
    // Sizes and memory.
    /// Two parts of a stream have to fit the memory (`EngineOptions::memory`).
    #[display("allow for larger parts with more memory: twice the part size")]
    AllowMoreMemory,
    /// Chunks that wait for their turn have to fit the memory (`EngineOptions::part`, `memory`).
    #[display("choose a smaller part size, or more memory")]
    SmallerParts,
    /// The destination has to know the length of a stream (`Job::expected_size`).
    #[display("say how long it is (the expected size), or go by way of a file")]
    TellLength,
    /// The length of a stream decides on the size of its parts (`Job::expected_size`).
    #[display("say how long it is (the expected size), and allow for large parts with more memory")]
    TellLengthForParts,
    /// The destination was told the length of a stream, which has another.
    #[display(
        "this destination has to be told the length before the first byte: the expected size must \
         be exact"
    )]
    ExactLength,

    // Streams.
    /// A stream that was sent in part is gone.
    #[display("what comes as a stream can be sent only once: go by way of a file")]
    SendFile,
    /// A stream can be read by nobody a second time.
    #[display("save it to a file first")]
    SaveToFile,
    /// A stream broke off that cannot be resumed.
    #[display("the source gives no way to go on where it broke off: begin again")]
    BeginAgain,
    /// A device or the like can be copied as a stream.
    #[display("a stream can be copied from standard input")]
    PipeIn,
    /// A stream is copied by a request of its own.
    #[display("copy it alone")]
    CopyStreamAlone,

    // Selections and names.
    /// It is a folder or a prefix, and only a recursive request takes those (`Selection::recursive`).
    #[display("a recursive request takes all that is below it")]
    Recurse,
    /// One of several sources has to go by itself, and the destination needs a name.
    #[display("copy it alone, and name the destination in full")]
    CopyAlone,
    /// The source's name cannot be a key.
    #[display("rename it, or copy it alone under another name")]
    Rename,
    /// No file can be called like this source.
    #[display("copy it by itself, under another name")]
    CopyRenamed,
    /// It has to be done before or after the others.
    #[display("take it by itself, before or after the others")]
    TakeAlone,
    /// The source's name cannot be a key, and another one has to be given.
    #[display("name the key in full")]
    NameKey,
    /// The source has no name to give to what it becomes in this place.
    #[display("name the destination in full: {_0}NAME")]
    NameDestination(HintText),
    /// A folder was named, and a file is needed.
    #[display("name a file")]
    NameFile,
    /// A symbolic link was named, and a file is needed.
    #[display("name the file that it leads to")]
    NameLinkedFile,
    /// A symbolic link is in the way.
    #[display("remove the link, or name the folder that it leads to as destination")]
    NameLinkedFolder,
    /// There are no symbolic links there, but what they lead to can be copied (`Selection::symlinks`).
    #[display("following symbolic links copies what it leads to")]
    FollowSymlinks,
    /// Two things would have one name.
    #[display("nothing was written; copy them to different places")]
    DifferentPlaces,
    /// Not all names are known.
    #[display("nothing was written: not all names are known, and two may be the same")]
    NothingWritten,
    /// The file system does not tell capitals apart.
    #[display("names that differ in capitals only need different folders there")]
    SeparateFolders,
    /// The file system does not tell capitals apart, and the two sides have different ones.
    #[display("give it the same capitals on both sides")]
    SameCapitals,
    /// How a bucket is written.
    #[display("buckets are written s3://BUCKET")]
    WriteBucket,
    /// How a bucket or prefix is written.
    #[display("s3://BUCKET/PREFIX")]
    WritePrefix,
    /// How an object is written.
    #[display("objects are written s3://BUCKET/KEY")]
    WriteObject,
    /// A bucket was named, and an object is needed.
    #[display("name the object: s3://BUCKET/KEY")]
    NameObject,
    /// What begins with this scheme is no location; a local name that looks like it is.
    #[display("s3://, https://, a path, or - ; a local name: ./{_0}:...")]
    KnownSchemes(HintText),

    // Doing it again.
    /// It was changed in the meantime.
    #[display("try again")]
    TryAgain,
    /// It is written to.
    #[display("try again once nothing writes to it")]
    TryAgainUnwritten,
    /// An earlier try may have done it.
    #[display("an earlier try may have stored it and its answer was lost: look at it")]
    LookAtIt,
    /// The file was given another name in the same folder.
    #[display("it is called {_0} now, in the same folder")]
    NowCalled(HintText),

    // Copying another way, and removing.
    /// A move is refused, a copy is not.
    #[display("it can be copied")]
    CopyInstead,
    /// A copy onto itself gives an object other attributes.
    #[display("a copy gives an object other attributes where it is")]
    CopyInPlace,
    /// Source and destination were given as two stores.
    #[display("the store does it by itself when source and destination are one store")]
    NameOneStore,
    /// The move would remove something that may be another by now.
    #[display("the store gives it neither an ETag nor a version: copy it, then remove it")]
    CopyThenRemove,
    /// Source and destination may be one object under two names.
    #[display("if they are two, remove it by itself")]
    RemoveByItself,
    /// A removal was refused because not everything was seen.
    #[display("what was not seen might be taken for gone")]
    NotAllSeen,
    /// A removal was refused because something failed (`SyncRequest::ignore_errors`).
    #[display("try again; ignoring errors removes all the same")]
    IgnoreErrors,
    /// A removal of everything was refused, because the source is empty (`SyncRequest::max_delete`).
    #[display("is it spelled right, and mounted? a limit of removals removes up to that many")]
    LimitRemovals,
    /// A removal was refused because it is larger than its limit (`SyncRequest::max_delete`).
    #[display("look with a dry run, or raise the limit of removals")]
    RaiseLimit,

    // Connections.
    /// The proxy wants credentials.
    #[display("they go into HTTPS_PROXY, before the host: USER:PASSWORD@HOST")]
    ProxyCredentials,
    /// No proxy of this kind can be used.
    #[display("HTTPS_PROXY, NO_PROXY")]
    ChooseProxy,
    /// The proxy cannot be used.
    #[display("HTTPS_PROXY names the proxy")]
    CheckProxy,
    /// The server's certificate is from nobody that is trusted.
    #[display("SSL_CERT_FILE names a file of certificates to trust")]
    TrustCertificate,
    /// The certificate's time is not that of this machine.
    #[display("or is this machine's clock wrong?")]
    CheckClock,
    /// The store's time is not that of this machine.
    #[display("set this machine's clock")]
    SetClock,
    /// The server does not speak TLS.
    #[display("is it an http:// URL?")]
    PlainHttp,
    /// Nothing answers at this URL.
    #[display("is the host right, and does the server run?")]
    CheckServer,
    /// The server refuses a path.
    #[display("does the folder that it goes into exist?")]
    CheckFolder,
    /// The server redirects an upload.
    #[display("uploads follow no redirects: give the final URL")]
    GiveFinalUrl,
    /// The server wants credentials.
    #[display("a user and a password go into the URL, before the host: USER:PASSWORD@HOST")]
    UrlCredentials,
    /// A signed link was refused.
    #[display(
        "a signed link works for a while, for one method and one set of headers: has it expired?"
    )]
    CheckLink,
    /// A signed link was refused that is for one content type.
    #[display("the link is for one content type: give it; or has it expired?")]
    GiveContentType,

    // Stores.
    /// Nothing answers at this endpoint.
    #[display("is the endpoint {_0} right, and does it run?")]
    CheckEndpoint(HintText),
    /// Nothing answers at the endpoint that is usual (`S3Options::endpoint_url`).
    #[display("is the endpoint right, and does the server run?")]
    NameEndpoint,
    /// How an endpoint is written.
    #[display("an endpoint looks like https://s3.example.com or http://127.0.0.1:9000")]
    WriteEndpoint,
    /// The bucket is in this region (`S3Options::region`).
    #[display("the bucket is in {_0}: name this region")]
    NameRegion(HintText),
    /// The bucket is in a region that is not known (`S3Options::region`).
    #[display("name the bucket's region, or its endpoint")]
    FindRegion,
    /// The bucket can be created.
    #[display("it can be created")]
    MakeBucket,
    /// The access key or its secret is wrong.
    #[display("check the access key and secret")]
    CheckKeys,
    /// The session is over.
    #[display("the session has expired: sign in again")]
    SignInAgain,
    /// The credentials, or what they may do, are not enough.
    #[display("check the credentials, or the profile, and what they may do")]
    CheckCredentials,
    /// There are no credentials.
    #[display(
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile; for public objects do not \
         sign requests"
    )]
    GiveCredentials,
    /// The profile's credentials could not be had.
    #[display("is the profile right, and is its session still valid?")]
    CheckProfile,
    /// The profile is not one of these.
    #[display("the AWS configuration files have {}", list(_0))]
    ChooseProfile(Vec<HintText>),
    /// The store does not name versions.
    #[display("does the store keep versions of what is in this bucket?")]
    CheckVersions,

    // Links.
    /// A link needs credentials to sign it with (`S3Options::no_sign_request`).
    #[display("sign requests; a public object needs no such link")]
    SignRequests,
    /// Links live for seven days at most.
    #[display("at most seven days")]
    ShorterLife,
    /// Links live for a second at least.
    #[display("at least one second")]
    LongerLife,
    /// What is in a store already needs a link only.
    #[display("a link can be made to an object that is there")]
    Presign,

    // Peers.
    /// The address to listen at is of another machine (`Net::bind`).
    #[display("the address to bind is one of this machine")]
    BindHere,
    /// How a relay is written (`Relay::Own`).
    #[display("a relay is written https://HOST")]
    WriteRelay,
    /// No relay answers, which was waited for (`Relay::None`).
    #[display("without relays none is waited for")]
    NoRelay,
    /// The sender cannot be reached.
    #[display("the sender must be running, and reachable directly or through a relay")]
    ReachSender,
    /// The sender is gone, and may come back.
    #[display("share it again with the same key, then receive it again: it goes on")]
    StartBothAgain,
    /// The connection is lost.
    #[display("is the sender still running? receiving it again goes on where this ended")]
    ReceiveAgain,
    /// The ticket is not whole.
    #[display("it is one word that begins with haul or blob; copy all of it")]
    WholeTicket,
    /// The ticket is of an earlier share.
    #[display("ask for a new one: a share that was started anew may have another")]
    AskForTicket,
    /// The share is over.
    #[display("ask for it to be shared again")]
    AskForShare,
    /// The sender has as many receivers as it wants to (`ShareOptions::receivers`).
    #[display("try again when one of them is done, or ask for more receivers to be let in")]
    AskForMoreReceivers,
    /// The sender does not understand.
    #[display("is it the same version?")]
    CheckVersion,
    /// More is listed than was allowed (`ReceiveOptions::most`).
    #[display("a higher limit of files allows more, at some 50 bytes of memory each")]
    AllowMoreFiles,
    /// More than one file is shared.
    #[display("name a folder to receive them in")]
    NameFolder,
    /// The name of what is shared begins with a dot (`ReceiveOptions::hidden`).
    #[display("name one, or take hidden files")]
    TakeHidden,
    /// Something has this name already (`ReceiveOptions::if_exists`).
    #[display("what exists can be skipped or overwritten, or the new one renamed")]
    ChooseIfExists,
    /// Objects are not given other names (`ReceiveOptions::if_exists`).
    #[display("what exists can make it fail, or be skipped or overwritten")]
    ChooseIfExistsInStore,

    // The index of contents.
    /// The index of contents cannot be used.
    #[display("remove the file: haul makes a new one, and only has to look at contents again")]
    RemoveIndex,
    /// Another process has the index of contents.
    #[display("try again once no other haul is running")]
    StopOthers,

    /// The words of a program, or of a store that is not haul's. The library never uses it.
    #[display("{_0}")]
    Own(HintText),
}

impl Hint {
    /// A hint in the words of a program, or of a store that is not haul's.
    pub fn own(words: impl Into<HintText>) -> Self {
        Self::Own(words.into())
    }
}

/// Text within a hint, which may come from a server, a file or a user: without secrets and control
/// characters from the moment it is made.
///
/// ```
/// use haul_core::HintText;
/// let text = HintText::from("https://me:secret@host/\u{1b}[2J");
/// assert_eq!(text.to_string(), "https://***@host/\\u{1b}[2J");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintText(String);

impl From<&str> for HintText {
    fn from(text: &str) -> Self {
        Self(redact::for_display(text))
    }
}

impl From<String> for HintText {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl fmt::Display for HintText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn list(names: &[HintText]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.iter().map(|name| name.0.as_str()).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_part_of_the_words() {
        let some = Hint::ChooseProfile(vec!["a".into(), "b".into()]);
        assert_eq!(some.to_string(), "the AWS configuration files have a, b");
        let none = Hint::ChooseProfile(Vec::new());
        assert_eq!(none.to_string(), "the AWS configuration files have none");
        assert_eq!(
            Hint::NameRegion("eu-west-1".into()).to_string(),
            "the bucket is in eu-west-1: name this region"
        );
    }

    /// Text of a server or a file neither steers the terminal nor tells a password.
    #[test]
    fn what_comes_from_elsewhere_is_escaped_and_redacted() {
        let hint = Hint::CheckEndpoint("http://me:secret@h/\u{1b}[2J\n".into());
        for shown in [hint.to_string(), format!("{hint:?}")] {
            assert!(!shown.contains("secret") && !shown.contains(char::is_control), "{shown}");
        }
        let hint = Hint::ChooseProfile(vec!["a\u{202e}b".into()]);
        assert!(hint.to_string().ends_with(r"a\u{202e}b"), "{hint}");
    }
}
