//! What Headscale refuses in `ssh` and `sshTests`, and Tailscale perhaps not.
//!
//! Source: `Policy.validate`, `validateSSHSrcDstCombination` and `SSHCheckPeriod` in `hscontrol/policy/v2/types.go`, and
//! `runSSHPolicyTest` in `sshtest.go`, in github.com/juanfont/headscale, v0.29.2.

use super::fault::FileFault;
use super::names::Names;
use super::read::At;
use super::selector::Selector;

/// Checks an entry of `ssh`. The reader for Tailscale has reported unknown names, and values of a wrong type.
pub(super) fn check_rule(entry: &At<'_>, names: &Names, faults: &mut Vec<FileFault>) {
    let mut ignored = Vec::new();
    let keys = ["action", "src", "dst", "users", "checkPeriod", "acceptEnv"];
    let [action, src, dst, users, period, variables] = entry.fields(keys, &mut ignored);
    if action.is_none() {
        faults.push(entry.fault("action is missing; want accept or check"));
    }
    for (at, user) in users.iter().flat_map(|at| at.texts(&mut ignored)).collect::<Vec<_>>() {
        if ["", "*"].contains(&user.trim()) {
            faults.push(at.fault("not an account at Headscale; want root, autogroup:nonroot or a name"));
        }
    }
    for (at, variable) in variables.iter().flat_map(|at| at.texts(faults)).collect::<Vec<_>>() {
        if variable.is_empty() {
            faults.push(at.fault("empty; want the name of a variable, in which * stands for any letters"));
        }
    }
    if let Some(at) = period.filter(|at| !at.json().is_null()) {
        if action.and_then(|at| at.text(&mut ignored)) != Some("check") {
            faults.push(at.fault("Headscale wants checkPeriod only with the action check; remove it"));
        } else if !at.json().as_str().is_some_and(is_period) {
            faults.push(
                at.fault("not a period at Headscale; want always, or up to 168h, such as 12h or 1h30m"),
            );
        }
    }
    check_ends(&selectors(src, names), &selectors(dst, names), faults);
}

/// A name in the file, and what it stands for.
type Named<'a> = (At<'a>, &'a str, Selector);

fn selectors<'a>(field: Option<At<'a>>, names: &Names) -> Vec<Named<'a>> {
    let texts = field.map(|at| at.texts(&mut Vec::new())).unwrap_or_default();
    texts.into_iter().filter_map(|(at, text)| Some((at, text, names.selector(text).ok()?))).collect()
}

fn check_ends(src: &[Named<'_>], dst: &[Named<'_>], faults: &mut Vec<FileFault>) {
    use Selector::*;
    for (at, ..) in src.iter().filter(|(.., s)| !matches!(s, User(_) | Group(_) | Tag(_) | Member | Tagged)) {
        faults.push(at.fault(
            "can't be a source of SSH at Headscale; want users, groups, tags, autogroup:member or autogroup:tagged",
        ));
    }
    let from_tags = src.iter().any(|(.., source)| matches!(source, Tag(_) | Tagged));
    for (at, text, selector) in dst {
        let reason = match selector {
            Tag(_) | Tagged => continue,
            User(_) | Own | Member if from_tags => {
                "Headscale lets no device with a tag reach a user's by SSH; want a tag or autogroup:tagged"
            }
            Own | Member => continue,
            // In any spelling but the same one, it is another user.
            User(_) if !src.is_empty() && src.iter().all(|(_, source, _)| source == text) => continue,
            User(_) => "Headscale lets only the same user reach a user's devices by SSH; want autogroup:self",
            _ => "can't be a destination of SSH at Headscale; want tags or autogroups",
        };
        faults.push(at.fault(reason));
    }
}

/// Whether it is `always`, or hours, minutes and seconds of at most a week.
fn is_period(text: &str) -> bool {
    let part = |part: &str| {
        let (number, unit) = part.split_at(part.len() - 1);
        let seconds = [("h", 3600.0), ("m", 60.0), ("s", 1.0)].iter().find(|(name, _)| *name == unit)?.1;
        let is_number = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        number.parse::<f64>().ok().filter(|_| is_number).map(|number| number * seconds)
    };
    let sum: Option<f64> = text.split_inclusive(['h', 'm', 's']).map(part).sum();
    text == "always" || (!text.is_empty() && sum.is_some_and(|seconds| seconds <= 168.0 * 3600.0))
}

/// Checks an entry of `sshTests`, which is not run.
pub(super) fn check_test(entry: &At<'_>, faults: &mut Vec<FileFault>) {
    let [src, dst, accept, deny, check] =
        entry.fields(["src", "dst", "accept", "deny", "check"], &mut Vec::new());
    if src.is_none_or(|at| at.text(faults).is_some_and(|text| text.trim().is_empty())) {
        faults.push(entry.fault("src is missing; want a user, group, tag, host or address"));
    }
    if dst.is_none_or(|at| at.list(&mut Vec::new()).is_empty()) {
        faults.push(entry.fault("dst is missing; want the devices that src connects to"));
    }
    let accounts: Vec<_> = [accept, deny, check].into_iter().flatten().collect();
    if accounts.iter().all(|at| at.texts(faults).is_empty()) {
        faults.push(entry.fault("neither accept, deny nor check: the test tests nothing"));
    }
}
