//! Error documents.
//!
//! Owns the few lines of XML that a store sends with a refusal. Must never take a page of something
//! else for one, nor read more than what it was given.

use crate::xml::Xml;

/// What an error document says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) region: Option<String>,
}

impl Document {
    /// Reads the children of the root of `text`. What is no error document says nothing; one that is
    /// cut off says what it says up to there, as the answer is a refusal anyway.
    pub(crate) fn of(text: &[u8]) -> Self {
        let mut said = Self::default();
        let read = Xml::document(text, "Error", |xml, name| {
            let place = match name {
                b"Code" => &mut said.code,
                b"Message" => &mut said.message,
                b"Region" => &mut said.region,
                _ => return Ok(()),
            };
            *place = Some(xml.text()?.trim().to_owned());
            Ok(())
        });
        if let Err(e) = read {
            tracing::trace!("an error document that is none: {e}");
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_children_of_the_root_are_heard() {
        let text = "<?xml version=\"1.0\"?>\n<Error xmlns=\"x\">\n <Code>AuthorizationHeaderMalformed\
            </Code><Message>it&apos;s &lt;b&gt; &amp;amp; &#x41;&#66;</Message><Empty/>\
            <Deep><Code>No</Code></Deep><Region> eu-west-1</Region></Error>";
        let said = Document::of(text.as_bytes());
        assert_eq!(said.code.as_deref(), Some("AuthorizationHeaderMalformed"));
        assert_eq!(said.message.as_deref(), Some("it's <b> &amp; AB"));
        assert_eq!(said.region.as_deref(), Some("eu-west-1"));
    }

    #[test]
    fn what_is_no_document_says_nothing() {
        for text in [
            "",
            "no",
            "<",
            "<Error><Code>cut",
            "<html><body><p>Code<Code>x</Code></body></html>",
            "<Code>x</Code>",
            "<Errors><Error><Code>x</Code></Error></Errors>",
        ] {
            assert_eq!(Document::of(text.as_bytes()), Document::default(), "{text}");
        }
        assert_eq!(Document::of(b"<Error><Code>x</Code><Mess").code.as_deref(), Some("x"));
    }
}
