//! The program; see [`tipline::cli`].

fn main() -> std::process::ExitCode {
    tipline::cli::main()
}
