//! Generated parts of pages that people write: what lies between two lines with marks.

use anyhow::Context;

/// The page with another text between the marks, each of which stands once.
pub(crate) fn replaced(page: &str, marks: [&str; 2], text: &str) -> anyhow::Result<String> {
    let missing = |mark: &str| format!("the page has no line {mark:?}");
    let [begin, end] = marks;
    let (before, rest) = page.split_once(begin).with_context(|| missing(begin))?;
    let (_, after) = rest.split_once(end).with_context(|| missing(end))?;
    Ok([before, begin, text, end, after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_between_the_marks_is_replaced_and_the_rest_stays() {
        let marks = ["<!-- a -->\n", "<!-- b -->\n"];
        let page = "# Page\n<!-- a -->\nold\n<!-- b -->\nend\n";
        let new = replaced(page, marks, "new\n").unwrap();
        assert_eq!(new, "# Page\n<!-- a -->\nnew\n<!-- b -->\nend\n");
        let error = replaced("# Page\n", marks, "new\n").unwrap_err();
        assert!(error.to_string().contains("<!-- a -->"), "{error}");
    }
}
