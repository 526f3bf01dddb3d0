//! The `diorama` program: hands the command line to [`diorama::cli`].

fn main() -> std::process::ExitCode {
    diorama::cli::main()
}
