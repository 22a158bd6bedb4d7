//! Plugin files to put before a host.

use crate::guests;
use serde_json::Value;
use std::path::Path;

/// A file for the folder of plugins.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// Its name in the folder, `.wasm` included.
    pub file: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl Plugin {
    /// An example plugin: `echo`, `chat`, `poll` or `webhook`.
    #[must_use]
    pub fn built(name: &str) -> Self {
        Self::file(&format!("{name}.wasm"), guests::component(name))
    }

    /// The fixture that does what it is told, with this manifest: `{"name", "version", "description",
    /// "routes": [["event", "path"]], "hooks", "mode", "capabilities", "configKeys", "headers", "extra",
    /// "describe": [steps]}`, all but the name optional. The file is named after the plugin.
    ///
    /// # Panics
    /// When the manifest has no name or is too long for the place that the fixture leaves for it.
    #[must_use]
    pub fn puppet(manifest: &Value) -> Self {
        const MARK: &[u8] = b"PUPPET-MANIFEST:";
        const ROOM: usize = 8192 - MARK.len();
        let name = manifest["name"]
            .as_str()
            .unwrap_or_else(|| panic!("a manifest needs a name: {manifest}"));
        let text = manifest.to_string();
        assert!(
            text.len() <= ROOM,
            "the manifest has {} bytes, at most {ROOM} fit",
            text.len()
        );
        let mut bytes = guests::component("puppet").to_vec();
        let start = position(&bytes, MARK) + MARK.len();
        bytes[start..start + ROOM].fill(b' ');
        bytes[start..start + text.len()].copy_from_slice(text.as_bytes());
        Self {
            file: format!("{name}.wasm"),
            bytes,
        }
    }

    /// The fixture that exports nothing but a manifest, which promises `routes` or `hooks`.
    #[must_use]
    pub fn bare(wants: &str) -> Self {
        Self::built("bare").with("BARE-WANTS:nothing", &format!("BARE-WANTS:{wants:<7}"))
    }

    /// A component written in the text format.
    ///
    /// # Panics
    /// When the text is none.
    #[must_use]
    pub fn text(file: &str, text: &str) -> Self {
        let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        Self::file(file, &bytes)
    }

    /// A component whose manifest lists one text of so many bytes so many times, under `capabilities`: to say a
    /// gigabyte costs it next to nothing.
    ///
    /// # Panics
    /// When its memory would be larger than a component's may be.
    #[must_use]
    pub fn repeating(name: &str, bytes: u32, times: u32) -> Self {
        Self::written(name, bytes, times, "")
    }

    /// A component that does this, in the text format, as soon as there is an instance of it.
    ///
    /// # Panics
    /// When the text is none.
    #[must_use]
    pub fn starting(name: &str, code: &str) -> Self {
        Self::written(name, 0, 0, &format!("(func $start {code}) (start $start)"))
    }

    fn written(name: &str, bytes: u32, times: u32, start: &str) -> Self {
        const LIST: u32 = 4096;
        let text = LIST + times * 8;
        let pair = |first: u32, second: u32| [first.to_le_bytes(), second.to_le_bytes()].concat();
        let none = [0; 8];
        let name_bytes = u32::try_from(name.len()).expect("names are short");
        // Name, version, description, routes, hooks, mode (which has a word more), capabilities, and the rest.
        let mut record = [pair(0, name_bytes), none.repeat(4), vec![0; 12]].concat();
        record.extend([pair(LIST, times), none.repeat(3)].concat());
        let escaped =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("\\{byte:02x}")).collect() };
        let list = escaped(&pair(text, bytes).repeat(times as usize));
        let record = escaped(&record);
        let pages = (text + bytes) / 65_536 + 1;
        Self::text(
            &format!("{name}.wasm"),
            &include_str!("repeating.wat")
                .replace("$PAGES", &pages.to_string())
                .replace("$NAME", name)
                .replace("$RECORD", &record)
                .replace("$LIST", &list)
                .replace("$START", start),
        )
    }

    /// Any bytes under any name.
    #[must_use]
    pub fn file(name: &str, bytes: &[u8]) -> Self {
        Self {
            file: name.to_owned(),
            bytes: bytes.to_vec(),
        }
    }

    /// The same under another file name.
    #[must_use]
    pub fn named(mut self, file: &str) -> Self {
        file.clone_into(&mut self.file);
        self
    }

    /// Every occurrence of a text overwritten by another one of the same length.
    ///
    /// # Panics
    /// When the lengths differ or the text does not occur.
    #[must_use]
    pub fn with(mut self, old: &str, new: &str) -> Self {
        assert_eq!(old.len(), new.len(), "`{old}` and `{new}` differ in length");
        let mut start = position(&self.bytes, old.as_bytes());
        loop {
            self.bytes[start..start + new.len()].copy_from_slice(new.as_bytes());
            let rest = &self.bytes[start + new.len()..];
            match find(rest, old.as_bytes()) {
                Some(offset) => start += new.len() + offset,
                None => return self,
            }
        }
    }

    /// The same built against another version of the contract, `0.1.0` having as many characters.
    ///
    /// # Panics
    /// As [`Self::with`].
    #[must_use]
    pub fn of_contract(self, version: &str) -> Self {
        let interfaces = [
            "manifest",
            "messages",
            "connections",
            "rooms",
            "connection",
            "server",
            "state",
            "config",
            "log",
            "types",
        ];
        interfaces.iter().fold(self, |plugin, name| {
            let old = format!("wardroom:plugin/{name}@0.1.0");
            plugin.with(&old, &format!("wardroom:plugin/{name}@{version}"))
        })
    }

    /// Puts the file into a folder.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) {
        let file = folder.join(&self.file);
        std::fs::write(&file, &self.bytes)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

fn position(bytes: &[u8], wanted: &[u8]) -> usize {
    find(bytes, wanted)
        .unwrap_or_else(|| panic!("no `{}` in the component", String::from_utf8_lossy(wanted)))
}
