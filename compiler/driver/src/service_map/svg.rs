//! The picture.
//!
//! Everything that can be clicked or filtered has its data in attributes; text is
//! escaped where it is written, and only there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::layout::{HEIGHT, WIDTH, layout};
use super::{Node, ServiceMap, together};

/// How many lines have their labels shown.
const LABELLED: usize = 40;
/// How many characters of a name fit in a box.
const FITS: usize = 19;
/// How many colours namespaces have (`.n0` and so on in the page's style).
const COLOURS: usize = 8;

/// Somebody in the picture. Those without a name stand at both sides: once as who asks,
/// once as who is asked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place<'m> {
    pub(super) node: &'m Node,
    is_asked: bool,
}

impl<'m> Place<'m> {
    fn new(node: &'m Node, is_asked: bool) -> Self {
        Self { node, is_asked: is_asked && matches!(node, Node::Entity(_)) }
    }
}

/// Text between tags or in quotes of an attribute. What XML cannot hold becomes
/// U+FFFD.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' => escaped.push(' '),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The `svg` element.
pub(super) fn svg(map: &ServiceMap) -> String {
    let ends = |(from, to): &'_ (Node, Node)| (from.clone(), to.clone());
    let pairs: Vec<_> = map.edges.iter().map(|(pair, services)| (ends(pair), services)).collect();
    let mut places = BTreeMap::new();
    for ((from, to), _) in &pairs {
        places.insert(Place::new(from, false), 0);
        places.insert(Place::new(to, true), 0);
    }
    for (index, place) in places.values_mut().enumerate() {
        *place = index;
    }
    let at = |node, is_asked| places.get(&Place::new(node, is_asked)).copied().unwrap_or_default();
    let lines: Vec<_> =
        pairs.iter().map(|((from, to), _)| (at(from, false), at(to, true))).collect();
    let between: Vec<_> = lines.iter().copied().filter(|(from, to)| from != to).collect();
    let layout = layout(places.len(), &between);
    let (width, height) = layout.size;
    let dense = if between.len() > LABELLED { " class=\"dense\"" } else { "" };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "<svg id=\"map\"{dense} xmlns=\"http://www.w3.org/2000/svg\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         role=\"img\" aria-label=\"service map\">\n<defs>\n"
    );
    for class in ["forwarded", "dropped", "mixed", "audit"] {
        let _ = writeln!(
            text,
            "<marker id=\"to-{class}\" class=\"{class}\" viewBox=\"0 0 10 10\" refX=\"9\" \
             refY=\"5\" markerWidth=\"9\" markerHeight=\"9\" markerUnits=\"userSpaceOnUse\" \
             orient=\"auto\"><path d=\"M0 0L10 5L0 10z\"/></marker>"
        );
    }
    text.push_str("</defs>\n");
    let mut ways = layout.lines.iter();
    for (index, (((from, to), services), (start, end))) in pairs.iter().zip(&lines).enumerate() {
        let way = match start == end {
            true => loop_at(layout.boxes.get(*start)),
            false => ways.next().map_or_else(Way::default, |points| way(points)),
        };
        let counts = together(services);
        let class = counts.class();
        let all = counts.all().max(1);
        // From 1.5 for one to 5 for a hundred thousand and more.
        let thick = 1.5 + 0.7 * f64::from(all.ilog10().min(5));
        let mut label: Vec<_> = services.keys().take(2).map(|service| service.text()).collect();
        if services.len() > label.len() {
            label.push(format!("+{}", services.len() - label.len()));
        }
        let title = format!("{} → {}: {}", from.name(), to.name(), super::dot::summary(&counts));
        let _ = writeln!(
            text,
            "<g class=\"edge {class}\" data-edge=\"{index}\" data-from=\"{start}\" \
             data-to=\"{end}\"><title>{title}</title><path class=\"hit\" d=\"{d}\"/>\
             <path class=\"line\" d=\"{d}\" stroke-width=\"{thick:.1}\" \
             marker-end=\"url(#to-{class})\"/><text x=\"{x:.1}\" y=\"{y:.1}\">{label}</text></g>",
            title = escape(&title),
            d = way.path,
            x = way.label.0,
            y = way.label.1 - 5.0,
            label = escape(&label.join(" ")),
        );
    }
    for (place, index) in &places {
        let corner = layout.boxes.get(*index).copied().unwrap_or_default();
        write_box(&mut text, place, *index, corner, map);
    }
    text.push_str("</svg>\n");
    text
}

fn write_box(
    text: &mut String,
    place: &Place<'_>,
    index: usize,
    (x, y): (f64, f64),
    map: &ServiceMap,
) {
    let name = place.node.name();
    let (over, short) = match place.node {
        Node::Named(_) => name.split_once('/').unwrap_or(("", name)),
        Node::Entity(_) => ("", name),
    };
    let class = match place.node {
        Node::Entity(_) => "node entity".to_owned(),
        Node::Named(_) => format!("node n{}", colour(over)),
    };
    let addresses = map.nodes.get(place.node).into_iter().flatten();
    let addresses: Vec<&str> = addresses.map(String::as_str).collect();
    let title = format!("{name}\n{}", addresses.join("\n"));
    let (title, radius) = (
        title.lines().map(escape).collect::<Vec<_>>().join("\n"),
        if over.is_empty() { HEIGHT / 2.0 } else { 6.0 },
    );
    let middle = if over.is_empty() { 27.0 } else { 34.0 };
    let _ = write!(
        text,
        "<g class=\"{class}\" data-node=\"{index}\" data-name=\"{}\" tabindex=\"0\" \
         transform=\"translate({x:.1} {y:.1})\"><title>{title}</title>\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"{radius}\"/>",
        escape(name)
    );
    if !over.is_empty() {
        let over = escape(&fit(over, FITS + 4));
        let _ = write!(
            text,
            "<rect class=\"stripe\" width=\"6\" height=\"{HEIGHT}\" rx=\"3\"/>\
             <text class=\"over\" x=\"16\" y=\"17\">{over}</text>"
        );
    }
    let _ =
        writeln!(text, "<text x=\"16\" y=\"{middle}\">{}</text></g>", escape(&fit(short, FITS)));
}

/// Of names that are too long both ends are shown: pods differ in the last.
fn fit(text: &str, fits: usize) -> String {
    let count = text.chars().count();
    if count <= fits {
        return text.to_owned();
    }
    let (head, tail) = (fits / 2 - 1, fits - fits / 2);
    let head = text.chars().take(head);
    head.chain(std::iter::once('…')).chain(text.chars().skip(count - tail)).collect()
}

/// A namespace's colour: of its name alone, so that it is the same in every picture.
fn colour(namespace: &str) -> usize {
    let hash = |sum: u32, byte: u8| sum.wrapping_mul(31).wrapping_add(byte.into());
    namespace.bytes().fold(7, hash) as usize % COLOURS
}

/// A line, and where its label stands.
#[derive(Default)]
struct Way {
    path: String,
    label: (f64, f64),
}

/// A line through places: curved between columns, straight in one.
fn way(points: &[(f64, f64)]) -> Way {
    let Some((first, rest)) = points.split_first() else { return Way::default() };
    if let [last] = rest
        && last.0 == first.0
    {
        return beside(*first, *last);
    }
    let mut path = format!("M{:.1} {:.1}", first.0, first.1);
    let mut from = *first;
    for (step, to) in rest.iter().enumerate() {
        let _ = if step % 2 == 0 {
            let middle = f64::midpoint(from.0, to.0);
            let (from_y, to_x, to_y) = (from.1, to.0, to.1);
            write!(path, "C{middle:.1} {from_y:.1} {middle:.1} {to_y:.1} {to_x:.1} {to_y:.1}")
        } else {
            write!(path, "L{:.1} {:.1}", to.0, to.1)
        };
        from = *to;
    }
    // Nearer to who asks, so that two that ask each other have labels side by side.
    let second = rest.first().unwrap_or(first);
    let part = |from: f64, to: f64, part: f64| from + (to - from) * part;
    Way { path, label: (part(first.0, second.0, 0.4), part(first.1, second.1, 0.28)) }
}

/// A line between two boxes of a column, on their right.
fn beside((x, from): (f64, f64), (_, to): (f64, f64)) -> Way {
    let out = x + 30.0 + 0.15 * (from - to).abs().min(400.0);
    let path = format!("M{x:.1} {from:.1}C{out:.1} {from:.1} {out:.1} {to:.1} {x:.1} {to:.1}");
    Way { path, label: (f64::midpoint(x, out) + 8.0, f64::midpoint(from, to) + 8.0) }
}

/// A line from a box to itself, above it.
fn loop_at(corner: Option<&(f64, f64)>) -> Way {
    let (x, y) = corner.copied().unwrap_or_default();
    let (left, right, up) = (x + WIDTH * 0.6, x + WIDTH * 0.85, y - 14.0);
    let path = format!("M{left:.1} {y:.1}C{left:.1} {up:.1} {right:.1} {up:.1} {right:.1} {y:.1}");
    Way { path, label: (f64::midpoint(left, right), up + 4.0) }
}
