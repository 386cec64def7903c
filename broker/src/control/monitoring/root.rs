//! `/`: links to the other pages, for people.

use super::site::Page;

/// The page; `prefix` is the base path without a slash at its end.
pub(super) fn page(prefix: &str) -> String {
    let mut links = String::new();
    for page in Page::ALL.into_iter().filter(|page| *page != Page::Root) {
        let (path, title) = (page.path(), page.title());
        // Relative, so that it also works behind a proxy that has a prefix of its own.
        links.push_str(&format!("  <li><a href=\".{prefix}{path}\">{path}</a> {title}</li>\n"));
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>Fulmar {version}</title>\n\
         <style>body {{ font-family: system-ui, sans-serif; margin: 2rem }} \
         li {{ margin: .4rem 0 }}</style>\n</head>\n<body>\n<h1>Fulmar {version}</h1>\n\
         <p>Serves NATS {nats_version}.</p>\n<ul>\n{links}</ul>\n</body>\n</html>\n",
        version = env!("CARGO_PKG_VERSION"),
        nats_version = fulmar_protocol::NATS_VERSION,
    )
}
