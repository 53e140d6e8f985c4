//! The check itself: the name of the address, and the addresses of that name.

use std::net::IpAddr;

use outbound::dns::message::{Answer, Data, Question};
use outbound::dns::resolver::Resolver;

use super::book::Finding;
use super::operators::Operator;

/// How many names of an address are followed; a crawler's has one.
const NAMES_MAX: usize = 2;

/// Says whose crawler has `address`: a name of it must be under a domain of the operator, and the address be one of that name.
///
/// Whoever has an address writes its name, but only the operator writes the addresses of the name.
pub(super) async fn verify(resolver: &Resolver, address: IpAddr) -> Finding {
    let names = match resolver.ask(&Question::reverse(address)).await {
        Ok(Answer::Found(names)) => names,
        Ok(Answer::NoName) => return Finding::False,
        Ok(Answer::Truncated | Answer::Failed(_)) | Err(_) => return Finding::Failed,
    };
    let named = names.iter().filter_map(|it| match it {
        Data::Name(name) => Some((name, Operator::of_name(name)?)),
        Data::Address(_) => None,
    });
    let mut finding = Finding::False;
    for (name, operator) in named.take(NAMES_MAX) {
        let Some(question) = Question::forward(name, address) else { continue };
        match resolver.ask(&question).await {
            Ok(Answer::Found(found)) if found.contains(&Data::Address(address)) => return Finding::Verified(operator),
            Ok(Answer::Found(_) | Answer::NoName) => {}
            Ok(Answer::Truncated | Answer::Failed(_)) | Err(_) => finding = Finding::Failed,
        }
    }
    finding
}
