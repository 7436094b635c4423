//! What a launcher is told by its arguments: `key=value` each, then `--`, then the worker's command.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::process::Pid;

use super::{ENTER, GUARD};

/// Arguments that are no orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoOrders;

/// What both parts are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Enter {
    /// Who must be the parent; another one means that it is dead already.
    pub(crate) parent: Pid,
    pub(crate) open_files: Option<u64>,
    pub(crate) user: Option<OsString>,
    pub(crate) dir: Option<OsString>,
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
}

/// What a guard is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guard {
    /// The worker's orders, with the guard's own parent.
    pub(crate) enter: Enter,
    pub(crate) memory_limit: Option<u64>,
    /// How the launcher is called once more: what stands before its own arguments.
    pub(crate) again: Vec<OsString>,
    /// The name of the instance, for those who look at the machine's processes.
    pub(crate) name: OsString,
}

impl Guard {
    pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Result<Self, NoOrders> {
        let mut read = Read::from(arguments)?;
        let memory_limit = read.number("memory-limit")?;
        let again = read.take_all("again");
        let name = read.take("name").ok_or(NoOrders)?;
        Ok(Self { enter: read.enter()?, memory_limit, again, name })
    }

    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut write = Write(vec![GUARD.into()]);
        write.put("name", Some(&self.name));
        write.put_number("memory-limit", self.memory_limit);
        for argument in &self.again {
            write.put("again", Some(argument));
        }
        write.enter(&self.enter)
    }
}

impl Enter {
    pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Result<Self, NoOrders> {
        Read::from(arguments)?.enter()
    }

    pub(crate) fn arguments(&self) -> Vec<OsString> {
        Write(vec![ENTER.into()]).enter(self)
    }
}

/// Arguments that are being read.
struct Read {
    values: Vec<(OsString, OsString)>,
    command: Vec<OsString>,
}

impl Read {
    fn from(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, NoOrders> {
        let mut values = Vec::new();
        for argument in arguments.by_ref().take_while(|argument| argument != "--") {
            let bytes = argument.as_bytes();
            let at = bytes.iter().position(|byte| *byte == b'=').ok_or(NoOrders)?;
            let text = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
            values.push((text(&bytes[..at]), text(&bytes[at + 1..])));
        }
        Ok(Self { values, command: arguments.collect() })
    }

    fn take_all(&mut self, key: &str) -> Vec<OsString> {
        self.values.extract_if(.., |(found, _)| found == key).map(|(_, value)| value).collect()
    }

    fn take(&mut self, key: &str) -> Option<OsString> {
        self.take_all(key).pop()
    }

    fn number(&mut self, key: &str) -> Result<Option<u64>, NoOrders> {
        let text = self.take(key);
        text.map(|text| text.to_str().and_then(|text| text.parse().ok()).ok_or(NoOrders)).transpose()
    }

    /// The rest; nothing may be left over.
    fn enter(mut self) -> Result<Enter, NoOrders> {
        let parent = self.number("parent")?.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let orders = Enter {
            parent: parent.ok_or(NoOrders)?,
            open_files: self.number("open-files")?,
            user: self.take("user"),
            dir: self.take("dir"),
            command: std::mem::take(&mut self.command),
        };
        if orders.command.is_empty() || !self.values.is_empty() { Err(NoOrders) } else { Ok(orders) }
    }
}

/// Arguments that are being written.
struct Write(Vec<OsString>);

impl Write {
    fn put(&mut self, key: &str, value: Option<&OsString>) {
        if let Some(value) = value {
            let bytes = [key.as_bytes(), b"=", value.as_bytes()].concat();
            self.0.push(OsString::from_vec(bytes));
        }
    }

    fn put_number(&mut self, key: &str, value: Option<u64>) {
        self.put(key, value.map(|value| value.to_string().into()).as_ref());
    }

    fn enter(mut self, orders: &Enter) -> Vec<OsString> {
        self.put_number("parent", Some(crate::proc::number(orders.parent).into()));
        self.put_number("open-files", orders.open_files);
        self.put("user", orders.user.as_ref());
        self.put("dir", orders.dir.as_ref());
        self.0.push("--".into());
        self.0.extend(orders.command.iter().cloned());
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_text() -> impl Strategy<Value = OsString> {
        prop::collection::vec(1_u8.., 0..12).prop_map(OsString::from_vec)
    }

    prop_compose! {
        fn any_enter()(
            parent in 1..i32::MAX,
            open_files in any::<Option<u64>>(),
            user in prop::option::of(any_text()),
            dir in prop::option::of(any_text()),
            command in prop::collection::vec(any_text(), 1..5),
        ) -> Enter {
            Enter { parent: Pid::from_raw(parent).unwrap(), open_files, user, dir, command }
        }
    }

    proptest! {
        #[test]
        fn orders_arrive_as_they_were_given(
            enter in any_enter(),
            memory_limit in any::<Option<u64>>(),
            again in prop::collection::vec(any_text(), 0..3),
            name in any_text(),
        ) {
            let arguments = enter.arguments();
            prop_assert_eq!(arguments[0].to_str(), Some(ENTER));
            prop_assert_eq!(Enter::read(arguments.into_iter().skip(1)), Ok(enter.clone()));
            let guard = Guard { enter, memory_limit, again, name };
            let arguments = guard.arguments();
            prop_assert_eq!(arguments[0].to_str(), Some(GUARD));
            prop_assert_eq!(Guard::read(arguments.into_iter().skip(1)), Ok(guard));
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let read = |text: &str| Enter::read(text.split(' ').map(OsString::from));
        assert!(read("parent=1 -- sh").is_ok());
        for wrong in ["", "sh", "parent=1", "parent=1 --", "parent=x -- sh", "-- sh", "parent=1 new=2 -- sh"]
        {
            assert_eq!(read(wrong), Err(NoOrders), "{wrong}");
        }
        assert_eq!(read("parent=1 open-files=x -- sh"), Err(NoOrders));
    }
}
