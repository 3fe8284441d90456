//! Key sets as .NET, Java and PHP write them.
