//! Values that plugins are given, and what of them is shown to people.

use std::fmt;

use serde_json::{Map, Value as Json};

use super::value::Secret;

/// A value for a plugin, which gets it as JSON. What is secret of it is shown nowhere.
///
/// ```
/// use serde_json::json;
/// use wardroom::config::{Secret, Setting};
///
/// let setting = Setting::table([
///     ("user".to_owned(), Setting::from(json!("wardroom"))),
///     ("password".to_owned(), Setting::from(Secret::new("s3cret"))),
/// ]);
/// assert_eq!(setting.expose(), &json!({ "user": "wardroom", "password": "s3cret" }));
/// assert_eq!(setting.shown(), &json!({ "user": "wardroom", "password": "(set)" }));
/// assert!(!format!("{setting:?}").contains("s3cret"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    json: Json,
    /// The same with `(set)` in place of each secret.
    shown: Json,
}

impl Setting {
    /// Several values.
    #[must_use]
    pub fn list(settings: impl IntoIterator<Item = Self>) -> Self {
        let pairs = settings.into_iter().map(|one| (one.json, one.shown));
        let (json, shown): (Vec<_>, Vec<_>) = pairs.unzip();
        Self {
            json: json.into(),
            shown: shown.into(),
        }
    }

    /// Several values by their names.
    #[must_use]
    pub fn table(settings: impl IntoIterator<Item = (String, Self)>) -> Self {
        let (mut json, mut shown) = (Map::new(), Map::new());
        for (name, setting) in settings {
            json.insert(name.clone(), setting.json);
            shown.insert(name, setting.shown);
        }
        Self {
            json: json.into(),
            shown: shown.into(),
        }
    }

    /// The value itself, secrets included.
    #[must_use]
    pub fn expose(&self) -> &Json {
        &self.json
    }

    /// What people may see of it.
    #[must_use]
    pub fn shown(&self) -> &Json {
        &self.shown
    }
}

/// A value of which nothing is secret.
impl From<Json> for Setting {
    fn from(json: Json) -> Self {
        let shown = json.clone();
        Self { json, shown }
    }
}

impl From<Secret> for Setting {
    fn from(secret: Secret) -> Self {
        Self {
            json: secret.expose().into(),
            shown: format!("{secret:?}").into(),
        }
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.shown, formatter)
    }
}
