//! What files are called in an artifact.
//!
//! In findings a file is called as the user typed it. An artifact must not depend
//! on where it was built, so there files are called by their paths below the
//! folder that holds them all.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// For each name as typed the name in an artifact, with `/` between folders. A name
/// that is no path, such as `-`, stays.
pub fn portable(names: &[&str]) -> BTreeMap<String, String> {
    let absolute: Vec<(&str, PathBuf)> =
        names.iter().filter(|name| **name != "-").map(|name| (*name, resolved(name))).collect();
    let common = common_folder(absolute.iter().map(|(_, path)| path.as_path()));
    let stays = names.iter().map(|name| ((*name).to_owned(), (*name).to_owned()));
    let below = absolute.iter().map(|(name, path)| {
        let below = path.strip_prefix(&common).unwrap_or(path);
        let parts = below.components().map(|part| part.as_os_str().to_string_lossy());
        ((*name).to_owned(), parts.collect::<Vec<_>>().join("/"))
    });
    stays.chain(below).collect()
}

/// The absolute path, without `.` and `..`.
fn resolved(name: &str) -> PathBuf {
    let absolute = std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name));
    let mut path = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                path.pop();
            }
            part => path.push(part),
        }
    }
    path
}

/// The deepest folder that all paths are below.
fn common_folder<'p>(paths: impl Iterator<Item = &'p Path>) -> PathBuf {
    let folders = paths.map(|path| path.parent().unwrap_or(Path::new("")).to_path_buf());
    let common = |a: PathBuf, b: PathBuf| {
        let same = a.components().zip(b.components()).take_while(|(a, b)| a == b);
        same.map(|(part, _)| part).collect()
    };
    folders.reduce(common).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::portable;

    #[test]
    fn names_do_not_depend_on_where_one_stands() {
        let cases: [(&[&str], &[&str]); 5] = [
            (&["p.yaml"], &["p.yaml"]),
            (&["/a/b/p.yaml"], &["p.yaml"]),
            (&["policies/web.yaml", "./inventory.yaml"], &["policies/web.yaml", "inventory.yaml"]),
            (&["/x/y/../z/p.yaml", "/x/i.yaml"], &["z/p.yaml", "i.yaml"]),
            (&["-", "/x/i.yaml"], &["-", "i.yaml"]),
        ];
        for (typed, expected) in cases {
            let names = portable(typed);
            let found: Vec<_> = typed.iter().map(|name| names[*name].as_str()).collect();
            assert_eq!(found, expected);
        }
    }
}
