//! Error documents.
//!
//! Owns the reading of the few lines of XML that a store sends with a refusal. Must never take a page
//! of something else for one, nor read more than what it was given.

/// What an error document says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) region: Option<String>,
}

impl Document {
    /// Reads the children of the root of `text`. What is no error document says nothing.
    pub(crate) fn of(text: &str) -> Self {
        let (mut said, mut path) = (Self::default(), Vec::new());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('<') {
            let Some((tag, next)) = after.split_once('>') else { break };
            if let Some(name) = tag.strip_prefix('/') {
                if path.pop() != Some(name.trim_end()) {
                    break; // HTML, mostly
                }
                if let ["Error"] = path[..] {
                    said.hear(name.trim_end(), before);
                }
            } else if !tag.starts_with(['?', '!']) && !tag.ends_with('/') {
                path.push(tag.split_ascii_whitespace().next().unwrap_or_default());
            }
            rest = next;
        }
        said
    }

    fn hear(&mut self, name: &str, text: &str) {
        let said = match name {
            "Code" => &mut self.code,
            "Message" => &mut self.message,
            "Region" => &mut self.region,
            _ => return,
        };
        *said = Some(unescaped(text.trim()));
    }
}

/// Text without XML's escapes. What is no escape stays as it is.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let meant = after.split_once(';').and_then(|(name, next)| Some((character(name)?, next)));
        let (character, next) = meant.unwrap_or(('&', after));
        plain.push(character);
        rest = next;
    }
    plain + rest
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_children_of_the_root_are_heard() {
        let text = "<?xml version=\"1.0\"?>\n<Error xmlns=\"x\">\n <Code>AuthorizationHeaderMalformed\
            </Code><Message>it&apos;s &lt;b&gt; &amp;amp; &#x41;&#66; &c;</Message><Empty/>\
            <Deep><Code>No</Code></Deep><Region> eu-west-1</Region></Error>";
        let said = Document::of(text);
        assert_eq!(said.code.as_deref(), Some("AuthorizationHeaderMalformed"));
        assert_eq!(said.message.as_deref(), Some("it's <b> &amp; AB &c;"));
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
            assert_eq!(Document::of(text), Document::default(), "{text}");
        }
        assert_eq!(Document::of("<Error><Code>x</Code><Mess").code.as_deref(), Some("x"));
    }
}
