//! Lists: an array of a file, or one text where one is enough; in a variable, texts between commas.

use super::{Given, Unit};
use crate::auth::{Networks, Origins};
use crate::config::Value;

/// Texts of any kind.
pub(in crate::config) enum Texts {}

impl Unit<Vec<String>> for Texts {
    fn wanted() -> String {
        "an array of texts, or one text".to_owned()
    }

    fn parse(given: Given<'_>) -> Option<Vec<String>> {
        let texts: Vec<&str> = match given {
            Given::Any(text) => text
                .split(',')
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .collect(),
            Given::Text(text) => vec![text],
            Given::Texts(texts) => texts.to_vec(),
            Given::Integer(_) | Given::Switch(_) | Given::Other(_) => return None,
        };
        let is_whole = texts.iter().all(|text| !text.is_empty());
        is_whole.then(|| texts.into_iter().map(ToOwned::to_owned).collect())
    }

    fn show(value: &Vec<String>) -> Value {
        Value::Texts(value.clone())
    }
}

/// What is made of texts and says itself what is wrong with one.
pub(in crate::config) trait OfTexts: Sized {
    /// What they are, with an example.
    const WANTED: &str;

    fn of(texts: Vec<String>) -> Result<Self, String>;
    /// As they were given.
    fn texts(&self) -> &[String];
}

impl OfTexts for Origins {
    const WANTED: &str = "origins, such as [\"https://acme.example.com\"], or \"*\"";

    fn of(texts: Vec<String>) -> Result<Self, String> {
        Self::of(texts)
    }

    fn texts(&self) -> &[String] {
        self.texts()
    }
}

impl OfTexts for Networks {
    const WANTED: &str = "networks, such as [\"10.0.0.0/8\", \"::1\"]";

    fn of(texts: Vec<String>) -> Result<Self, String> {
        Self::of(texts)
    }

    fn texts(&self) -> &[String] {
        self.texts()
    }
}

/// Texts of one kind.
pub(in crate::config) enum List {}

impl<T: OfTexts> Unit<T> for List {
    fn wanted() -> String {
        format!("an array of {}", T::WANTED)
    }

    fn parse(given: Given<'_>) -> Option<T> {
        <Self as Unit<T>>::read(given).ok()
    }

    fn read(given: Given<'_>) -> Result<T, String> {
        let texts = Texts::parse(given);
        let wanted = || format!("must be {}, not {given}", <Self as Unit<T>>::wanted());
        T::of(texts.ok_or_else(wanted)?)
    }

    fn show(value: &T) -> Value {
        Value::Texts(value.texts().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_an_array_or_a_text_or_texts_between_commas() {
        let list = |given| <Texts as Unit<Vec<String>>>::parse(given).map(|list| list.join("|"));
        assert_eq!(list(Given::Any(" a, b ,")).as_deref(), Some("a|b"));
        assert_eq!(list(Given::Any("")).as_deref(), Some(""));
        assert_eq!(list(Given::Text("a, b")).as_deref(), Some("a, b"));
        assert_eq!(list(Given::Texts(&["a", "b"])).as_deref(), Some("a|b"));
        for wrong in [Given::Text(""), Given::Texts(&["a", ""]), Given::Integer(5)] {
            assert_eq!(list(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_one_is_said() {
        let origins = <List as Unit<Origins>>::read;
        let networks = <List as Unit<Networks>>::read;
        let error = origins(Given::Texts(&["https://a", "b"])).unwrap_err();
        assert!(error.starts_with("\"b\" is no origin, such as"), "{error}");
        let error = networks(Given::Text("10.0.0.0/33")).unwrap_err();
        assert!(
            error.starts_with("\"10.0.0.0/33\" is no network"),
            "{error}"
        );
        let error = networks(Given::Switch(true)).unwrap_err();
        assert!(error.starts_with("must be an array of networks"), "{error}");
    }
}
