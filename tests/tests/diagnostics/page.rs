//! A page of `docs/diagnostics/`: its fenced blocks.

/// What a page holds.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Which code it is about.
    pub(crate) code: String,
    /// Blocks marked `yaml`.
    pub(crate) policies: Vec<String>,
    /// Blocks marked `yaml inventory`.
    pub(crate) inventories: Vec<String>,
    /// Blocks marked `yaml test`.
    pub(crate) tests: Vec<String>,
    /// The block marked `text`.
    pub(crate) output: Option<String>,
}

impl Page {
    pub(crate) fn read(code: &str, text: &str) -> Self {
        let mut page = Self { code: code.to_owned(), ..Self::default() };
        for part in text.split("\n```").skip(1).step_by(2) {
            let (mark, block) = part.split_once('\n').unwrap_or((part, ""));
            let block = format!("{block}\n");
            match mark {
                "yaml" => page.policies.push(block),
                "yaml inventory" => page.inventories.push(block),
                "yaml test" => page.tests.push(block),
                "text" => page.output = Some(block),
                other => panic!("a block is marked `{other}`"),
            }
        }
        page
    }
}

/// The page with this text in its `text` block.
pub(crate) fn with_output(page: &str, output: &str) -> String {
    const OPEN: &str = "\n```text\n";
    let Some((before, rest)) = page.split_once(OPEN) else {
        panic!("the page has no block marked `text`");
    };
    let after = rest.split_once("```").map_or("", |(_, after)| after);
    format!("{before}{OPEN}{output}```{after}")
}
