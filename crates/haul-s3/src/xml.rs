//! Documents from a store, read strictly.
//!
//! Owns what is a whole document: one root of the name that was asked for, every element closed, and
//! nothing behind it. A document that was cut off anywhere is an error, never a shorter one. Must never
//! follow a reference to anything outside of the document.

use std::borrow::Cow;
use std::fmt;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};
use std::time::SystemTime;

/// Why something is no document of the kind that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(Cow<'static, str>);

/// What was read, or why it could not be.
pub(crate) type Parsed<T> = Result<T, Malformed>;

impl Malformed {
    pub(crate) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self(what.into())
    }

    fn cut() -> Self {
        Self::new("it is cut off")
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

impl From<quick_xml::Error> for Malformed {
    fn from(e: quick_xml::Error) -> Self {
        match e {
            quick_xml::Error::Syntax(_) => Self::cut(), // every one of them is markup without its end
            e => Self::new(format!("it is no XML: {e}")),
        }
    }
}

impl From<quick_xml::encoding::EncodingError> for Malformed {
    fn from(_: quick_xml::encoding::EncodingError) -> Self {
        Self::new("it is not UTF-8")
    }
}

/// A document that is being read: the reader is behind the start of an element.
pub(crate) struct Xml<'x> {
    reader: Reader<&'x [u8]>,
    /// How many elements are open.
    open: usize,
}

impl<'x> Xml<'x> {
    /// Reads a whole document, whose root has to be `root`: `each` is called for every child of it, and
    /// reads it with [`children`](Self::children) or one of the others. What it does not read is skipped.
    pub(crate) fn document(
        text: &'x [u8],
        root: &str,
        each: impl FnMut(&mut Self, &[u8]) -> Parsed<()>,
    ) -> Parsed<()> {
        let mut reader = Reader::from_reader(text);
        reader.config_mut().expand_empty_elements = true;
        let mut xml = Self { reader, open: 0 };
        loop {
            match xml.reader.read_event()? {
                Event::Start(start) if start.local_name().as_ref() == root.as_bytes() => break,
                Event::Start(start) => {
                    let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
                    return Err(Malformed::new(format!("it is a {name:?} instead of a {root}")));
                }
                Event::Eof => return Err(Malformed::new("it is empty")),
                event if between(&event) => {}
                _ => return Err(Malformed::new("it is no XML")),
            }
        }
        xml.open = 1;
        xml.children(each)?;
        loop {
            match xml.reader.read_event()? {
                Event::Eof => return Ok(()),
                event if between(&event) => {}
                _ => return Err(Malformed::new("something follows its end")),
            }
        }
    }

    /// Reads the children of the element that is open, and its end.
    pub(crate) fn children(
        &mut self,
        mut each: impl FnMut(&mut Self, &[u8]) -> Parsed<()>,
    ) -> Parsed<()> {
        loop {
            match self.reader.read_event()? {
                Event::Start(start) => {
                    self.open += 1;
                    let inside = self.open;
                    each(self, start.local_name().as_ref())?;
                    if self.open == inside {
                        self.skip()?;
                    }
                }
                Event::End(_) => {
                    self.open -= 1;
                    return Ok(());
                }
                Event::Eof => return Err(Malformed::cut()),
                _ => {}
            }
        }
    }

    /// Reads the text of the element that is open, and its end.
    pub(crate) fn text(&mut self) -> Parsed<Cow<'x, str>> {
        let mut all = Cow::Borrowed("");
        loop {
            let piece = match self.reader.read_event()? {
                Event::Text(text) => text.decode()?,
                Event::CData(text) => text.decode()?,
                Event::GeneralRef(reference) => Cow::Owned(meant(&reference)?.to_string()),
                Event::End(_) => {
                    self.open -= 1;
                    return Ok(all);
                }
                Event::Start(_) => {
                    return Err(Malformed::new("an element is where text should be"));
                }
                Event::Eof => return Err(Malformed::cut()),
                _ => continue,
            };
            if all.is_empty() { all = piece } else { all.to_mut().push_str(&piece) }
        }
    }

    /// The same, as a string; `None` if it is empty.
    pub(crate) fn some_text(&mut self) -> Parsed<Option<String>> {
        let text = self.text()?;
        Ok((!text.is_empty()).then(|| text.into_owned()))
    }

    /// The same, as yes or no.
    pub(crate) fn flag(&mut self) -> Parsed<bool> {
        match self.text()?.trim() {
            "true" | "True" | "1" => Ok(true),
            "false" | "False" | "0" => Ok(false),
            other => Err(Malformed::new(format!("{other:?} is neither true nor false"))),
        }
    }

    /// The same, as a number.
    pub(crate) fn number(&mut self) -> Parsed<u64> {
        let text = self.text()?;
        text.trim().parse().map_err(|_| Malformed::new(format!("{text:?} is no number")))
    }

    /// The same, as a time.
    pub(crate) fn time(&mut self) -> Parsed<Option<SystemTime>> {
        let text = self.text()?;
        if text.is_empty() {
            return Ok(None);
        }
        let time = DateTime::from_str(text.trim(), Format::DateTimeWithOffset)
            .map_err(|_| Malformed::new(format!("{text:?} is no time")))?;
        Ok(time.try_into().ok())
    }

    /// Reads past the end of the element that is open.
    fn skip(&mut self) -> Parsed<()> {
        let outside = self.open - 1;
        while self.open > outside {
            match self.reader.read_event()? {
                Event::Start(_) => self.open += 1,
                Event::End(_) => self.open -= 1,
                Event::GeneralRef(reference) => drop(meant(&reference)?),
                Event::Eof => return Err(Malformed::cut()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether this may stand before or behind the root.
fn between(event: &Event<'_>) -> bool {
    match event {
        Event::Text(text) => text.iter().all(u8::is_ascii_whitespace),
        Event::Decl(_) | Event::Comment(_) | Event::PI(_) => true,
        _ => false,
    }
}

/// The character that a reference stands for. There are no others than XML's own: a document may not
/// define any here. Stores write control characters as references, although XML has no place for them.
fn meant(reference: &BytesRef<'_>) -> Parsed<char> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Ok(character);
    }
    match reference.decode()?.as_ref() {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        other => Err(Malformed::new(format!("&{other}; stands for nothing"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Parsed<Vec<String>> {
        let mut all = Vec::new();
        Xml::document(text.as_bytes(), "R", |xml, name| {
            if name == b"T" {
                all.push(xml.text()?.into_owned());
            }
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn the_children_of_the_root_are_read() {
        let text = "\u{feff}<?xml version=\"1.0\"?>\n<!-- c --><n:R xmlns:n=\"x\" a=\"&amp;\"> \
            <T>it&apos;s &lt;b&gt; &amp;amp; &#x41;&#66;&#1;</T><E/><D><T>No</T><F/></D>\
            <T><![CDATA[<raw>&]]></T><T/><T> a </T></n:R>\n<!-- c -->";
        assert_eq!(read(text).unwrap(), ["it's <b> &amp; AB\u{1}", "<raw>&", "", " a "]);
    }

    #[test]
    fn what_is_no_whole_document_is_an_error() {
        for text in [
            "",
            " ",
            "no",
            "<",
            "<R>",
            "<R><T>x</T>",
            "<R><T>x</R>",
            "<R></T>",
            "<S></S>",
            "<R></R><R></R>",
            "<R></R>x",
            "<R><T>&nope;</T></R>",
            "<R><T>a & b</T></R>",
            "<R><T><U/></T></R>",
            "<!DOCTYPE R [<!ENTITY a \"b\">]><R><T>&a;</T></R>",
            "<html><body>Sign in</body></html>",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(Xml::document(b"<R>\xff</R>", "R", |xml, _| xml.text().map(drop)).is_ok());
        let not_utf8 = Xml::document(b"<R><T>\xff</T></R>", "R", |xml, _| xml.text().map(drop));
        assert!(not_utf8.is_err());
    }

    #[test]
    fn values_are_what_they_have_to_be() {
        let flag = |text: &str| {
            let mut flag = None;
            let text = format!("<R><F>{text}</F></R>");
            let read = Xml::document(text.as_bytes(), "R", |xml, _| {
                flag = Some(xml.flag()?);
                Ok(())
            });
            read.ok().and(flag)
        };
        assert_eq!((flag("true"), flag(" false\n")), (Some(true), Some(false)));
        assert_eq!((flag(""), flag("fals")), (None, None));
    }

    fn element() -> impl Strategy<Value = String> {
        let text =
            prop::sample::select(vec!["", "x", " ", "&amp;", "&#65;", "<![CDATA[<]]>", "<!-- -->"]);
        let leaf = ("[A-Z]", text).prop_map(|(name, text)| format!("<{name}>{text}</{name}>"));
        leaf.prop_recursive(3, 12, 4, |inner| {
            let children = prop::collection::vec(inner, 0..4);
            ("[A-Z]", children).prop_map(|(n, all)| format!("<{n}>{}</{n}>", all.concat()))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// A.7: no document is the beginning of another.
        #[test]
        fn every_prefix_of_a_document_is_an_error(inside in element(), empty in any::<bool>()) {
            let inside = if empty { format!("{inside}<E/>") } else { inside };
            let whole = format!("<?xml version=\"1.0\"?><Root a=\"b\">{inside}</Root>");
            let read = |text: &str| Xml::document(text.as_bytes(), "Root", |_, _| Ok(()));
            prop_assert_eq!(read(&whole), Ok(()));
            for end in 0..whole.len() {
                prop_assert!(read(&whole[..end]).is_err(), "{}", &whole[..end]);
            }
        }
    }
}
