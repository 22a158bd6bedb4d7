//! `plugin!`: which controllers a plugin is made of, and what it says about itself.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Token, Type, braced, bracketed};

use crate::errors::{Errors, list};

const SETTINGS: [&str; 6] = [
    "name",
    "version",
    "description",
    "mode",
    "headers",
    "config_keys",
];
const MODES: [&str; 3] = ["pooled", "fresh", "singleton"];

/// One thing between the commas of `plugin!`.
enum Item {
    /// `name = "chat"`
    Setting(Ident, Setting),
    /// `Chat`
    Controller(Box<Type>),
    /// `"admin" => Users` or `"admin" => { Users, Rooms }`
    Prefixed(LitStr, Vec<Item>),
}

enum Setting {
    Value(Box<Expr>),
    List(Vec<LitStr>),
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.peek(Ident) && input.peek2(Token![=]) && !input.peek2(Token![=>]) {
            let key = input.parse()?;
            input.parse::<Token![=]>()?;
            return Ok(Self::Setting(key, input.parse()?));
        }
        if input.peek(LitStr) {
            let prefix = input.parse()?;
            input.parse::<Token![=>]>()?;
            if !input.peek(syn::token::Brace) {
                return Ok(Self::Prefixed(prefix, vec![input.parse()?]));
            }
            let inner;
            braced!(inner in input);
            return Ok(Self::Prefixed(prefix, parse_items(&inner)?));
        }
        input.parse().map(Self::Controller).map_err(|error| {
            let expected = "expected a controller's type, `\"prefix\" => ..` or a setting like \
                            `mode = singleton`";
            syn::Error::new(error.span(), expected)
        })
    }
}

impl Parse for Setting {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if !input.peek(syn::token::Bracket) {
            return input.parse().map(Self::Value);
        }
        let inner;
        bracketed!(inner in input);
        let words = Punctuated::<LitStr, Token![,]>::parse_terminated(&inner)?;
        Ok(Self::List(words.into_iter().collect()))
    }
}

fn parse_items(input: ParseStream<'_>) -> syn::Result<Vec<Item>> {
    Ok(Punctuated::<Item, Token![,]>::parse_terminated(input)?
        .into_iter()
        .collect())
}

/// What is emitted for it, piece by piece.
struct Plugin {
    name: TokenStream,
    version: TokenStream,
    description: TokenStream,
    mode: TokenStream,
    headers: TokenStream,
    config_keys: TokenStream,
    parts: Vec<TokenStream>,
}

impl Default for Plugin {
    fn default() -> Self {
        Self {
            name: quote!(::core::env!("CARGO_PKG_NAME")),
            version: quote!(::core::env!("CARGO_PKG_VERSION")),
            description: quote!(::core::env!("CARGO_PKG_DESCRIPTION")),
            mode: quote!(::core::option::Option::None),
            headers: quote!(),
            config_keys: quote!(),
            parts: Vec::new(),
        }
    }
}

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let items = errors.keep(parse_items.parse2(input)).unwrap_or_default();
    let mut plugin = Plugin::default();
    let mut settings = Vec::new();
    for item in items {
        if let Item::Setting(key, value) = item {
            if settings.contains(&key) {
                errors.on(&key, format!("`{key}` is said twice"));
            }
            plugin.set(&key, value, &mut errors);
            settings.push(key);
        } else {
            plugin.add(item, &[], &mut errors);
        }
    }
    if plugin.parts.is_empty() && errors.is_empty() {
        errors.at(
            proc_macro2::Span::call_site(),
            "a plugin is made of controllers: `plugin!(Chat)`",
        );
    }
    let errors = errors.into_code();
    let plugin = plugin.code();
    quote!(#errors #plugin)
}

impl Plugin {
    fn set(&mut self, key: &Ident, value: Setting, errors: &mut Errors) {
        match (key.to_string().as_str(), value) {
            ("headers", Setting::List(names)) => self.headers = quote!(#(#names),*),
            ("headers", Setting::Value(other)) => {
                errors.on(other, "a list of names: `headers = [\"authorization\"]`")
            }
            ("config_keys", Setting::List(keys)) => self.config_keys = quote!(#(#keys),*),
            ("config_keys", Setting::Value(other)) => {
                errors.on(other, "a list of keys: `config_keys = [\"url\"]`")
            }
            ("mode", Setting::Value(mode)) => self.set_mode(&mode, errors),
            ("name", Setting::Value(name)) => {
                check_name(&name, errors);
                self.name = quote!(#name);
            }
            ("version", Setting::Value(version)) => self.version = quote!(#version),
            ("description", Setting::Value(description)) => self.description = quote!(#description),
            ("mode" | "name" | "version" | "description", Setting::List(_)) => {
                errors.on(key, format!("`{key}` is one value, not a list"));
            }
            (unknown, _) => errors.on(
                key,
                format!("unknown setting `{unknown}`; one of {}", list(SETTINGS)),
            ),
        }
    }

    fn set_mode(&mut self, mode: &Expr, errors: &mut Errors) {
        let word = match mode {
            Expr::Path(path) => path.path.get_ident().map(Ident::to_string),
            _ => None,
        };
        match word {
            Some(word) if MODES.contains(&word.as_str()) => {
                self.mode = quote!(::core::option::Option::Some(#word))
            }
            _ => errors.on(
                mode,
                format!("no mode of instances; one of {}", list(MODES)),
            ),
        }
    }

    /// Adds a controller, or all that share a prefix.
    fn add(&mut self, item: Item, prefixes: &[LitStr], errors: &mut Errors) {
        match item {
            Item::Controller(controller) => self.parts.push(quote! {
                ::wardroom_sdk::__private::Part {
                    prefixes: &[#(#prefixes),*],
                    controller: &<#controller as ::wardroom_sdk::Controller>::SPEC,
                }
            }),
            Item::Prefixed(prefix, items) => {
                if prefix.value().contains([':', '*', '\\']) {
                    let advice = "a prefix given here is plain text: parameters go into the \
                                  controller's own, where its handlers can name them";
                    errors.on(&prefix, advice);
                }
                let prefixes = [prefixes, &[prefix]].concat();
                items
                    .into_iter()
                    .for_each(|item| self.add(item, &prefixes, errors));
            }
            Item::Setting(key, _) => errors.on(
                key,
                "settings are of the whole plugin: move it to the front",
            ),
        }
    }

    fn code(self) -> TokenStream {
        let Self {
            name,
            version,
            description,
            mode,
            headers,
            config_keys,
            parts,
        } = self;
        let private = quote!(::wardroom_sdk::__private);
        quote! {
            /// This plugin, as the host loads it and `wardroom_sdk::test::Server::new` takes it.
            #[derive(Clone, Copy, Debug)]
            pub struct Plugin;

            #[automatically_derived]
            impl ::wardroom_sdk::Plugin for Plugin {
                const SPEC: #private::PluginSpec = #private::PluginSpec {
                    name: #name,
                    version: #version,
                    description: #description,
                    mode: #mode,
                    headers: &[#headers],
                    config_keys: &[#config_keys],
                    parts: &[#(#parts),*],
                };
            }

            #[cfg(target_family = "wasm")]
            #[allow(
                unsafe_code,
                missing_docs,
                unreachable_pub,
                clippy::all,
                clippy::undocumented_unsafe_blocks,
                clippy::allow_attributes_without_reason,
                reason = "generated: the functions that the host calls, in the canonical ABI"
            )]
            const _: () = {
                ::wardroom_sdk::__private::bindings::export!(
                    Plugin with_types_in ::wardroom_sdk::__private::bindings
                );
            };
        }
    }
}

/// The host refuses other names; here it costs less time to find out.
fn check_name(name: &Expr, errors: &mut Errors) {
    let Expr::Lit(ExprLit {
        lit: Lit::Str(text),
        ..
    }) = name
    else {
        return;
    };
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let text = text.value();
    if text.is_empty() || text.len() > 63 || !text.chars().all(allowed) {
        errors.on(name, "a plugin's name has 1 to 63 of `a-z 0-9 -`");
    }
}
