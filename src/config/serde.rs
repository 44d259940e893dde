//! `Config` in TOML, JSON, the environment, or whatever else has a serde reader.

use std::fmt;

use serde::{
    de::{Error as _, MapAccess, SeqAccess, Visitor},
    ser::SerializeMap,
    Deserialize, Deserializer, Serialize, Serializer,
};

use super::{
    options::{KEYS, OPTIONS},
    value::Given,
    Config,
};
use crate::endpoint::Role;

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Config;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table with bind or connect, and options")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Config, A::Error> {
        let mut first = None;
        let mut more = Vec::new();
        let mut options = Vec::<(&str, Given)>::new();
        let mut seen = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let Some(key) = KEYS.iter().copied().find(|known| *known == key) else {
                return Err(A::Error::unknown_field(&key, KEYS));
            };
            if seen.contains(&key) {
                return Err(A::Error::custom(format!("{key}: it is given twice")));
            }
            seen.push(key);
            let given: Given = map.next_value()?;
            let endpoint = |given: Given| match given {
                Given::Text(text) => Ok(text),
                other => Err(A::Error::custom(format!(
                    "{key}: {other} is not an endpoint, such as \"tcp://127.0.0.1:5555\""
                ))),
            };
            let role = match key {
                "bind" | "also_bind" => Role::Bind,
                "connect" | "also_connect" => Role::Connect,
                _ => {
                    options.push((key, given));
                    continue;
                }
            };
            match (key, given) {
                ("bind" | "connect", given) => {
                    if first.replace((role, endpoint(given)?)).is_some() {
                        return Err(A::Error::custom(
                            "bind, connect: only one can be first; \
                             the others are also_bind and also_connect",
                        ));
                    }
                }
                (_, Given::List(all)) => {
                    for one in all {
                        more.push((role, endpoint(one)?));
                    }
                }
                (_, one) => more.push((role, endpoint(one)?)),
            }
        }
        let Some((role, endpoint)) = first else {
            return Err(A::Error::custom("bind, connect: one of them is missing"));
        };
        let mut config = Config::at(role, &endpoint);
        config.endpoints.extend(more);
        for (key, given) in options {
            config.set(key, &given).map_err(A::Error::custom)?;
        }
        config.parsed_endpoints().map_err(A::Error::custom)?;
        Ok(config)
    }
}

impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut endpoints = self.endpoints.iter();
        if let Some((role, endpoint)) = endpoints.next() {
            let key = match role {
                Role::Bind => "bind",
                Role::Connect => "connect",
            };
            map.serialize_entry(key, endpoint)?;
        }
        for (key, wanted) in [("also_bind", Role::Bind), ("also_connect", Role::Connect)] {
            let all = endpoints.clone().filter(|(role, _)| *role == wanted);
            let all: Vec<_> = all.map(|(_, endpoint)| endpoint).collect();
            if !all.is_empty() {
                map.serialize_entry(key, &all)?;
            }
        }
        for row in OPTIONS {
            if let Some(given) = (row.get)(self) {
                map.serialize_entry(row.name, &given)?;
            }
        }
        map.end()
    }
}

impl Serialize for Given {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Given::Text(text) | Given::Other(text) => serializer.serialize_str(text),
            Given::Number(n) => serializer.serialize_u64(*n),
            Given::Flag(flag) => serializer.serialize_bool(*flag),
            Given::List(items) => items.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

/// Takes whatever comes; what fits is for the option to say, which knows its
/// name.
struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, a switch or a list")
    }

    fn visit_str<E>(self, text: &str) -> Result<Given, E> {
        Ok(Given::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Given, E> {
        Ok(Given::Number(n))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Given, E> {
        Ok(u64::try_from(n).map_or_else(|_| Given::Other(n.to_string()), Given::Number))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Given, E> {
        Ok(Given::Other(n.to_string()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Given, E> {
        Ok(Given::Flag(flag))
    }

    fn visit_unit<E>(self) -> Result<Given, E> {
        Ok(Given::Other("nothing".to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Given, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Given::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given, A::Error> {
        while map.next_entry::<Given, Given>()?.is_some() {}
        Ok(Given::Other("a table".to_owned()))
    }
}
