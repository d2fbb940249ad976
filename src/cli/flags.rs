//! The library names its parameters in backticks, `max_memory`; whoever typed a command line knows them
//! as flags, --max-memory.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use super::args::command;

/// The flags of all commands, by the name of their parameter.
static FLAGS: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let mut flags = HashMap::new();
    let mut commands = vec![command()];
    while let Some(command) = commands.pop() {
        for long in command.get_arguments().filter_map(|argument| argument.get_long()) {
            flags.insert(long.replace('-', "_"), format!("--{long}"));
        }
        commands.extend(command.get_subcommands().cloned());
    }
    flags
});

/// `text` with the flag in place of each parameter that has one.
pub fn named(text: &str) -> Cow<'_, str> {
    if !text.contains('`') {
        return Cow::Borrowed(text);
    }
    let mut named = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('`') {
        named.push_str(before);
        let flag = after.split_once('`').and_then(|(name, after)| Some((FLAGS.get(name)?, after)));
        match flag {
            Some((flag, after)) => {
                named.push_str(flag);
                rest = after;
            }
            None => {
                named.push('`');
                rest = after;
            }
        }
    }
    named.push_str(rest);
    Cow::Owned(named)
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn parameters_become_flags_and_other_words_in_backticks_stay() {
        assert_eq!(
            named("`max_memory` 1 MB: lower `threads`, or `ls` it"),
            "--max-memory 1 MB: lower --threads, or `ls` it"
        );
        assert_eq!(named("`"), "`");
        assert_eq!(named("no parameter"), "no parameter");
    }
}
