//! The way out of an error, in the words of the command line.
//!
//! Owns which flags and commands a [`Hint`] of the library means. Nothing else may show a hint.

use haul::{Foreign, Hint};

/// What to type, or to look at. What names nothing that the command line calls otherwise is shown in the
/// library's words.
pub(crate) fn words(hint: &Hint) -> String {
    if let Hint::NameRegion(region) = hint {
        return format!("the bucket is in {region}: --region {region}");
    }
    let text = of_copies(hint).or_else(|| of_stores(hint)).or_else(|| of_peers(hint));
    text.map_or_else(|| hint.to_string(), str::to_owned)
}

fn of_copies(hint: &Hint) -> Option<&'static str> {
    Some(match hint {
        Hint::AllowMoreMemory => "allow for larger parts with --memory (twice the part size)",
        Hint::SmallerParts => "a smaller --part-size, or a larger --memory",
        Hint::TellLength => "say how long it is with --expected-size, or go by way of a file",
        Hint::TellLengthForParts => {
            "say how long it is with --expected-size, and allow for large parts with --memory"
        }
        Hint::ExactLength => {
            "this destination has to be told the length before the first byte: --expected-size \
             must be exact"
        }
        Hint::PipeIn => "a stream can be piped in: haul cp - DEST < SOURCE",
        Hint::CopyStreamAlone => "copy it alone: haul cp - DEST",
        Hint::Recurse => "-r takes all that is below it",
        Hint::FollowSymlinks => "--symlinks follow copies what it leads to",
        Hint::TryAgain => "run the command again",
        Hint::TryAgainUnwritten => "run the command again once nothing writes to it",
        Hint::CopyInstead => "cp copies it",
        Hint::CopyInPlace => "cp gives an object other attributes where it is",
        Hint::NameOneStore => "the store does it by itself without --source-* and --dest-* options",
        Hint::CopyThenRemove => {
            "the store gives it neither an ETag nor a version: copy it, then rm it"
        }
        Hint::RemoveByItself => "if they are two, remove it with haul rm",
        Hint::IgnoreErrors => "run it again; --ignore-errors removes all the same",
        Hint::LimitRemovals => {
            "is it spelled right, and mounted? --max-delete N removes up to N all the same"
        }
        Hint::RaiseLimit => "look with --dry-run, or raise --max-delete",
        _ => return None,
    })
}

fn of_stores(hint: &Hint) -> Option<&'static str> {
    Some(match hint {
        Hint::GiveContentType => {
            "the link is for one content type: give it with --content-type; or has it expired?"
        }
        Hint::NameEndpoint => "is the endpoint right, and does the server run? (--endpoint-url)",
        Hint::FindRegion => "name the bucket's region with --region, or its endpoint",
        Hint::MakeBucket => "haul mb s3://BUCKET creates one",
        Hint::CheckCredentials => "check the credentials, or --profile, and what they may do",
        Hint::GiveCredentials => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or --profile; for public objects \
             --no-sign-request"
        }
        Hint::SignRequests => "leave out --no-sign-request; a public object needs no such link",
        Hint::ShorterLife => "at most --expires-in 7d",
        Hint::LongerLife => "at least --expires-in 1s",
        Hint::Presign => "haul presign makes a link to an object that is there",
        _ => return None,
    })
}

fn of_peers(hint: &Hint) -> Option<&'static str> {
    Some(match hint {
        Hint::BindHere => "--bind takes an address of this machine",
        Hint::WriteRelay => "--relay https://HOST",
        Hint::NoRelay => "--no-relay does not wait for one",
        Hint::StartBothAgain => {
            "start the same haul send again, then the same haul receive: it goes on"
        }
        Hint::ReceiveAgain => {
            "is the sender still running? the same command goes on where this ended"
        }
        Hint::AskForMoreReceivers => {
            "try again when one of them is done, or ask for --max-receivers"
        }
        Hint::AllowMoreFiles => "--max-files allows more, at some 50 bytes of memory each",
        Hint::TakeHidden => "name one, or take it here with --hidden",
        Hint::ChooseIfExists => "--if-exists skip, rename or overwrite",
        Hint::ChooseIfExistsInStore => "--if-exists fail, skip or overwrite",
        _ => return None,
    })
}

/// A note of a job on one line, with what can be done about it.
pub(crate) fn note(text: &Foreign, hint: Option<&Hint>) -> Foreign {
    match hint {
        Some(hint) => format!("{} ({})", text.exact(), words(hint)).into(),
        None => text.clone(),
    }
}
