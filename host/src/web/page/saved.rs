//! Saved views: addresses with names, and the lists that other programs fetch of them.

use maud::{Markup, html};

use super::cell;
use super::layout::notice;
use super::view::View;
use crate::clock::Millis;
use crate::store::kept::{Kept, KeptError, ListKey, View as SavedView};
use crate::text;
use crate::time;
use crate::web::Session;

/// A saved view with the keys of its list.
type Saved = (SavedView, Vec<ListKey>);

/// All views with their keys.
///
/// # Errors
/// [`KeptError`].
pub(super) fn all(kept: &Kept) -> Result<Vec<Saved>, KeptError> {
    kept.views()?.into_iter().map(|view| Ok((view.clone(), kept.keys(&view.name)?))).collect()
}

/// The menu of the board: the saved views, and this one's name to be.
pub(super) fn menu(view: &View, saved: &[SavedView], session: &Session) -> Markup {
    let here = query(view);
    html! {
        details.menu #views {
            summary { "Views" }
            div.card {
                @if saved.is_empty() { p.note { "None is saved yet." } }
                ul {
                    @for one in saved {
                        li { a href=(format!("/?{}", one.query)) aria-current=[(one.query == here).then_some("true")] { (text::escape(&one.name)) } }
                    }
                }
                @if session.may_change {
                    form.save method="post" action="/views/save" {
                        input type="hidden" name="csrf" value=(session.csrf);
                        input type="hidden" name="query" value=(here);
                        label.hidden for="name" { "Name of this view" }
                        input #name name="name" required maxlength="100" placeholder="Name of this view" autocomplete="off";
                        button type="submit" { "Save" }
                    }
                }
                a.manage href="/views" { "All views and their lists" }
            }
        }
    }
}

/// What is saved of a view: not whose details are open, and from its first page.
pub(super) fn query(view: &View) -> String {
    view.but(|_| {}).link("").trim_start_matches('?').to_owned()
}

/// The page of all views.
pub(super) fn page(saved: &[Saved], session: &Session, done: &Markup, now: Millis) -> Markup {
    html! {
        div.page {
            h1 { "Saved views" }
            p.lead { "A view can be fetched as a plain list, one value a line, by firewalls and resolvers. Each key opens the list of one view and can be revoked." }
            (done)
            @if saved.is_empty() {
                (notice("", "No view is saved yet.", &html! { a href="/" { "Search for something" } ", and save it by the menu “Views”." }))
            }
            @for (view, keys) in saved {
                section.card.saved {
                    div.head {
                        h2 { a href=(format!("/?{}", view.query)) { (text::escape(&view.name)) } }
                        @if session.may_change {
                            div.does {
                                (act(session, "/views/key", &view.name, None, "New list address", ""))
                                (rename(session, &view.name))
                                (act(session, "/views/delete", &view.name, None, "Delete", "danger"))
                            }
                        }
                    }
                    @let asked = View::read(&view.query).query;
                    p { @if asked.is_empty() { span.note { "Everything" } } @else { code { (text::escape(&asked)) } } }
                    @if !keys.is_empty() {
                        table.keys {
                            thead { tr { th scope="col" { "Key of its list" } th scope="col" { "Made" } th scope="col" { "Last used" } th scope="col" { span.hidden { "Revoke" } } } }
                            tbody {
                                @for key in keys {
                                    tr {
                                        th scope="row" { "Key " (key.id) }
                                        td { (cell::time(&time::print(key.created), now)) }
                                        td { @match key.used { Some(at) => (cell::time(&time::print(at), now)), None => span.note { "never" } } }
                                        td { @if session.may_change { (act(session, "/views/revoke", &view.name, Some(key.id), "Revoke", "danger")) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            form.row method="post" action="/end" {
                input type="hidden" name="csrf" value=(session.csrf);
                button.quiet type="submit" { "Leave" }
                span.note { "This browser is let in until a day after its last use. " code { "tipline open" } " lets it in again." }
            }
        }
    }
}

/// The new name is asked for when it is wanted.
fn rename(session: &Session, name: &str) -> Markup {
    html! {
        details.menu.rename {
            summary { "Rename" }
            form.card.save method="post" action="/views/rename" {
                input type="hidden" name="csrf" value=(session.csrf);
                input type="hidden" name="name" value=(name);
                input name="new" aria-label=(format!("New name of {}", text::escape(name))) value=(name) maxlength="100" required;
                button type="submit" { "Rename" }
            }
        }
    }
}

fn act(session: &Session, path: &str, name: &str, key: Option<i64>, title: &str, class: &str) -> Markup {
    html! {
        form method="post" action=(path) {
            input type="hidden" name="csrf" value=(session.csrf);
            input type="hidden" name="name" value=(name);
            @if let Some(key) = key { input type="hidden" name="key" value=(key); }
            button class=(class) type="submit" { (title) }
        }
    }
}

/// A new list's address. It is shown this once.
pub(super) struct Made {
    pub(super) name: String,
    pub(super) address: String,
}

impl Made {
    pub(super) fn shown(&self) -> Markup {
        let title = format!("The address of the list of “{}”, shown this once:", text::escape(&self.name));
        notice(
            "good",
            &title,
            &html! {
                pre tabindex="0" { code { (self.address) } }
                div.row { button.scripted type="button" data-copy=(self.address) { "Copy" } span.note { "It needs nothing else: keep it as you keep a password. Where a program sends headers, the key may stand in one instead (Authorization: Bearer)." } }
            },
        )
    }
}
