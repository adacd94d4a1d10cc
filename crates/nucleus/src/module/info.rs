//! What a module says of itself in its section `.modinfo`: `key=value` texts, each ended by NUL, as in Linux.
//!
//! The bytes are a file's and may be anything; what does not parse is an error, what is missing is empty.

use super::ModuleError;

/// A module's own account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModInfo {
    /// Its name, which its entry bears too.
    pub name: String,
    /// Its licence, as SPDX.
    pub license: String,
    /// Who wrote it.
    pub author: String,
    /// What it is.
    pub description: String,
    /// Its version.
    pub version: String,
    /// The version stamp that it was built with.
    pub vermagic: String,
    /// What it can be told.
    pub parameters: Vec<Parameter>,
}

/// One parameter: a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value unless told otherwise.
    pub default: u64,
    /// The least value it may take.
    pub least: u64,
    /// The greatest.
    pub most: u64,
    /// What it means.
    pub text: String,
}

impl ModInfo {
    /// Parses a section; the error says what is wrong with it.
    pub(super) fn parse(section: &[u8]) -> Result<ModInfo, String> {
        let text = std::str::from_utf8(section).map_err(|_| ".modinfo is no text".to_string())?;
        let mut info = ModInfo::default();
        for line in text.split('\0').filter(|line| !line.is_empty()) {
            let (key, value) = line.split_once('=').ok_or_else(|| format!("`{line}` in .modinfo has no value"))?;
            let field = match key {
                "name" => &mut info.name,
                "license" => &mut info.license,
                "author" => &mut info.author,
                "description" => &mut info.description,
                "version" => &mut info.version,
                "vermagic" => &mut info.vermagic,
                "parm" => {
                    let parameter = Parameter::parse(value);
                    info.parameters.push(parameter.ok_or_else(|| format!("`{line}` in .modinfo is no parameter"))?);
                    continue;
                }
                // Later versions may say more.
                _ => continue,
            };
            *field = value.to_string();
        }
        Ok(info)
    }
}

impl Parameter {
    /// `<name>:<default>:<least>:<most>:<text>`.
    fn parse(value: &str) -> Option<Parameter> {
        let mut parts = value.splitn(5, ':');
        let name = parts.next().filter(|name| !name.is_empty())?.to_string();
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (default, least, most) = (number()?, number()?, number()?);
        Some(Parameter { name, default, least, most, text: parts.next()?.to_string() })
    }

    /// Refuses a value out of its range.
    pub(super) fn check(&self, value: u64, path: &std::path::Path) -> Result<(), ModuleError> {
        let Parameter { name, least, most, .. } = self;
        if (*least..=*most).contains(&value) {
            return Ok(());
        }
        Err(ModuleError::BadValue { path: path.into(), parameter: name.clone(), value, least: *least, most: *most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_parse_and_unknown_keys_pass() {
        let info = ModInfo::parse(b"name=x\0later=1\0\0parm=gb:1:0:9:size: in GiB\0vermagic=a=b").unwrap();
        let gb = Parameter { name: "gb".into(), default: 1, least: 0, most: 9, text: "size: in GiB".into() };
        let expected = ModInfo { name: "x".into(), vermagic: "a=b".into(), parameters: vec![gb], ..ModInfo::default() };
        assert_eq!(info, expected);
    }

    #[test]
    fn what_is_no_account_is_an_error() {
        for section in [&b"name"[..], b"\xff=1", b"parm=gb", b"parm=:1:2:3:x", b"parm=gb:1:2:x:y", b"parm=gb:1:2:3"] {
            assert!(ModInfo::parse(section).is_err(), "{section:?}");
        }
    }
}
